"""Moves of the registry: where aliases point, what a rollout is, how versions stand."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from api.access.route_access import needs, with_key
from api.http.application import part
from api.http.context import Context, RequestContext
from api.http.guarded_route import GuardedRoute
from api.http.problem import problems
from api.http.request_body import document_body
from api.models.active_models import ActiveModels
from api.models.addresses import Alias, Model, Version
from api.registry.conditions import SeenRevision, tag_of
from api.registry.documents import AliasMove, Change, Deprecation, History, RolloutChange
from api.registry.registry_changes import RegistryChanges
from zeroskew.contract.errors.service import ChangesForbiddenError
from zeroskew.contract.scope import Scope
from zeroskew.contract.settings import Settings
from zeroskew.records.registry.registered_version import (
    RegisteredAlias,
    RegisteredRollout,
    RegisteredVersion,
)

__all__ = ["router"]

_VERSION: Final = "/{model:name}/versions/{version:name}"
_ALIAS: Final = "/{model:name}/labels/{alias:name}"
_ROLLOUT: Final = "/{model:name}/rollout"
_CONFLICT: Final = problems(HTTPStatus.CONFLICT)
_MOVED: Final = problems(HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)

Models = Annotated[ActiveModels, part(ActiveModels)]
Registry = Annotated[RegistryChanges, part(RegistryChanges)]
Note = Annotated[Change, document_body(Change, is_required=False)]

router = APIRouter(
    prefix="/v1/models",
    tags=["registry"],
    route_class=GuardedRoute,
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
)


async def _require_changeable(settings: Annotated[Settings, part(Settings)]) -> None:
    if not settings.lets_registry_change:
        raise ChangesForbiddenError(
            "Got a change of the registry, but this service lets nobody change it over HTTP."
        )


_CHANGE: Final = (Depends(_require_changeable),)


@router.put(
    _ALIAS,
    summary="Point an alias to a version",
    response_model=RegisteredAlias,
    responses=_MOVED,
    dependencies=_CHANGE,
)
@needs(Scope.MODELS_MANAGE)
async def put_alias(
    model: Model,
    alias: Alias,
    move: Annotated[AliasMove, document_body(AliasMove)],
    seen: SeenRevision,
    context: Context,
    models: Models,
    registry: Registry,
) -> Response:
    """Make an alias, or move it; every replica follows within two seconds."""
    await models.check_alias(
        model, alias, move.version, allow_request_change=move.allow_request_change
    )
    moved = await registry.make(
        lambda stored: stored.set_alias(
            model,
            alias,
            move.version,
            actor=_actor(context, move),
            reason=move.reason,
            if_match=seen,
        )
    )
    return _answer(moved, moved.revision)


@router.delete(
    _ALIAS,
    summary="Take an alias away",
    status_code=HTTPStatus.NO_CONTENT,
    responses=_MOVED,
    dependencies=_CHANGE,
)
@needs(Scope.MODELS_MANAGE)
async def delete_alias(
    model: Model,
    alias: Alias,
    note: Note,
    seen: SeenRevision,
    context: Context,
    registry: Registry,
) -> Response:
    """Take an alias away, unless the model's rollout goes by it."""
    await registry.make(
        lambda stored: stored.delete_alias(
            model, alias, actor=_actor(context, note), reason=note.reason, if_match=seen
        )
    )
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get(_ROLLOUT, summary="Show the rollout", response_model=RegisteredRollout)
@with_key
async def get_rollout(model: Model, registry: Registry) -> Response:
    """Show who answers a model's callers, with what share."""
    found = await registry.read(lambda stored: stored.get_rollout(model))
    return _answer(found, found.revision)


@router.put(
    _ROLLOUT,
    summary="Set the rollout",
    response_model=RegisteredRollout,
    responses=_MOVED,
    dependencies=_CHANGE,
)
@needs(Scope.MODELS_MANAGE)
async def put_rollout(
    model: Model,
    change: Annotated[RolloutChange, document_body(RolloutChange)],
    seen: SeenRevision,
    context: Context,
    models: Models,
    registry: Registry,
) -> Response:
    """Say who answers a model's callers, with what share, and who watches."""
    await models.check_rollout(model, change.rollout)
    kept = await registry.make(
        lambda stored: stored.set_rollout(
            model,
            change.rollout,
            actor=_actor(context, change),
            reason=change.reason,
            if_match=seen,
        )
    )
    return _answer(kept, kept.revision)


@router.delete(
    _ROLLOUT,
    summary="End the rollout",
    status_code=HTTPStatus.NO_CONTENT,
    responses=_MOVED,
    dependencies=_CHANGE,
)
@needs(Scope.MODELS_MANAGE)
async def delete_rollout(
    model: Model, note: Note, seen: SeenRevision, context: Context, registry: Registry
) -> Response:
    """Let the champion answer everybody again."""
    await registry.make(
        lambda stored: stored.delete_rollout(
            model, actor=_actor(context, note), reason=note.reason, if_match=seen
        )
    )
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post(
    f"{_VERSION}:retire",
    summary="Retire a version",
    response_model=RegisteredVersion,
    responses=_CONFLICT,
    dependencies=_CHANGE,
)
@needs(Scope.MODELS_MANAGE)
async def retire(
    model: Model, version: Version, note: Note, context: Context, registry: Registry
) -> Response:
    """Let a version answer no more; it may not have an alias, nor a part in the rollout."""
    return _answer(
        await registry.make(
            lambda stored: stored.retire(
                model, version, actor=_actor(context, note), reason=note.reason
            )
        )
    )


@router.post(
    f"{_VERSION}:reactivate",
    summary="Bring a version back",
    response_model=RegisteredVersion,
    responses=_CONFLICT,
    dependencies=_CHANGE,
)
@needs(Scope.MODELS_MANAGE)
async def reactivate(
    model: Model, version: Version, note: Note, context: Context, registry: Registry
) -> Response:
    """Let a retired version answer again; one that was refused or deprecated is so no more."""
    return _answer(
        await registry.make(
            lambda stored: stored.reactivate(
                model, version, actor=_actor(context, note), reason=note.reason
            )
        )
    )


@router.post(
    f"{_VERSION}:deprecate",
    summary="Announce a version's end",
    response_model=RegisteredVersion,
    responses=_CONFLICT,
    dependencies=_CHANGE,
)
@needs(Scope.MODELS_MANAGE)
async def deprecate(
    model: Model,
    version: Version,
    note: Annotated[Deprecation, document_body(Deprecation, is_required=False)],
    context: Context,
    registry: Registry,
) -> Response:
    """Tell the callers of a version, by `Deprecation` and `Sunset`, that it is on its way out."""
    return _answer(
        await registry.make(
            lambda stored: stored.deprecate(
                model,
                version,
                sunset_at=note.sunset_at,
                actor=_actor(context, note),
                reason=note.reason,
            )
        )
    )


@router.get("/{model:name}/history", summary="Show the changes", response_model=History)
@needs(Scope.MODELS_MANAGE)
async def get_history(
    model: Model,
    registry: Registry,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many changes at most.")] = 100,
    before: Annotated[
        Annotated[int, Field(ge=1, le=999_999_999)] | SkipJsonSchema[None],
        Query(description="Only changes with a lower number than this."),
    ] = None,
) -> Response:
    """Show who changed what of a model, when and why, and what was there before."""
    changes = await registry.read(
        lambda stored: stored.list_changes(model, limit=limit, before=before)
    )
    return _answer(History(changes=changes))


def _actor(context: RequestContext, change: Change) -> str:
    """Return who is named in the history: the key, and only without keys who the body says."""
    return context.caller.actor or change.actor


def _answer(document: BaseModel, revision: int | None = None) -> Response:
    headers = {} if revision is None else {"ETag": tag_of(revision)}
    content = document.model_dump_json().encode()
    return Response(content, media_type="application/json", headers=headers)
