"""Moves of the registry: where aliases point, what a rollout is, how versions stand.

What moves has an ``ETag`` with its revision. ``If-Match`` with that tag lets a move happen only to
what its caller has seen, ``If-None-Match: *`` only where nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from api.access.route_access import needs, with_key
from api.http.application import part_of
from api.http.context import context_of
from api.http.guarded_route import GuardedRoute
from api.http.problem import problems
from api.http.request_body import JsonBody
from api.models.active_models import ActiveModels
from api.models.addresses import (
    AliasName,
    ModelName,
    VersionNumber,
    check_alias,
    check_model,
    parse_version,
)
from api.registry.documents import AliasMove, Change, Deprecation, History, RolloutChange
from api.registry.registry_changes import RegistryChanges
from zeroskew.contract.errors.service import ChangesForbiddenError, InvalidRequestError
from zeroskew.contract.scope import Scope
from zeroskew.contract.settings import Settings
from zeroskew.model.requests.body_documents import describe_body, parse_document
from zeroskew.records.registry.registered_version import (
    RegisteredAlias,
    RegisteredRollout,
    RegisteredVersion,
)
from zeroskew.records.registry.registry_executor import RegistryExecutor

if TYPE_CHECKING:
    from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = ["router", "tag_of"]

router = APIRouter(
    prefix="/v1/models",
    tags=["registry"],
    route_class=GuardedRoute,
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
)

_Answer = TypeVar("_Answer")

_VERSION: Final = "/{model:name}/versions/{version:name}"
_ALIAS: Final = "/{model:name}/labels/{alias:name}"
_ROLLOUT: Final = "/{model:name}/rollout"
_TAG: Final = re.compile(r'"r(\d{1,15})(?:-[0-9a-f]+(?:-gzip)?)?"')
_MAX_CHANGES: Final = 1000


_CONFLICT: Final = problems(HTTPStatus.CONFLICT)
_MOVED: Final = problems(HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)
_IF_MATCH: Final = {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "description": "The `ETag` of what is to be changed, as the caller saw it.",
            "schema": {"type": "string", "pattern": '^("r[0-9]{1,15}"|\\*)$'},
        },
        {
            "name": "If-None-Match",
            "in": "header",
            "required": False,
            "description": "`*`: only if there is none yet.",
            "schema": {"type": "string", "enum": ["*"]},
        },
    ]
}


@router.put(
    _ALIAS,
    summary="Point an alias to a version",
    response_model=RegisteredAlias,
    responses=_MOVED,
    openapi_extra=describe_body(AliasMove) | _IF_MATCH,
)
@needs(Scope.MODELS_MANAGE)
async def put_alias(model: ModelName, alias: AliasName, request: Request) -> Response:
    """Make an alias, or move it; every replica follows within two seconds."""
    names = check_model(model), check_alias(alias)
    move = parse_document(AliasMove, await _read(request))
    await part_of(request, ActiveModels).check_alias(
        *names, move.version, allow_request_change=move.allow_request_change
    )
    moved = await _run(
        request,
        lambda registry: registry.set_alias(
            *names,
            move.version,
            actor=_actor(request, move),
            reason=move.reason,
            if_match=_seen_revision(request),
        ),
    )
    return _answer(moved, moved.revision)


@router.delete(
    _ALIAS,
    summary="Take an alias away",
    status_code=HTTPStatus.NO_CONTENT,
    responses=_MOVED,
    openapi_extra=describe_body(Change, is_required=False) | _IF_MATCH,
)
@needs(Scope.MODELS_MANAGE)
async def delete_alias(model: ModelName, alias: AliasName, request: Request) -> Response:
    """Take an alias away, unless the model's rollout goes by it."""
    names = check_model(model), check_alias(alias)
    note = await _read_note(request)
    await _run(
        request,
        lambda registry: registry.delete_alias(
            *names,
            actor=_actor(request, note),
            reason=note.reason,
            if_match=_seen_revision(request),
        ),
    )
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get(_ROLLOUT, summary="Show the rollout", response_model=RegisteredRollout)
@with_key
async def get_rollout(model: ModelName, request: Request) -> Response:
    """Show who answers a model's callers, with what share."""
    name = check_model(model)
    found = await _run(request, lambda registry: registry.get_rollout(name), is_change=False)
    return _answer(found, found.revision)


@router.put(
    _ROLLOUT,
    summary="Set the rollout",
    response_model=RegisteredRollout,
    responses=_MOVED,
    openapi_extra=describe_body(RolloutChange) | _IF_MATCH,
)
@needs(Scope.MODELS_MANAGE)
async def put_rollout(model: ModelName, request: Request) -> Response:
    """Say who answers a model's callers, with what share, and who watches."""
    name = check_model(model)
    change = parse_document(RolloutChange, await _read(request))
    await part_of(request, ActiveModels).check_rollout(name, change.rollout)
    stored = await _run(
        request,
        lambda registry: registry.set_rollout(
            name,
            change.rollout,
            actor=_actor(request, change),
            reason=change.reason,
            if_match=_seen_revision(request),
        ),
    )
    return _answer(stored, stored.revision)


@router.delete(
    _ROLLOUT,
    summary="End the rollout",
    status_code=HTTPStatus.NO_CONTENT,
    responses=_MOVED,
    openapi_extra=describe_body(Change, is_required=False) | _IF_MATCH,
)
@needs(Scope.MODELS_MANAGE)
async def delete_rollout(model: ModelName, request: Request) -> Response:
    """Let the champion answer everybody again."""
    name = check_model(model)
    note = await _read_note(request)
    await _run(
        request,
        lambda registry: registry.delete_rollout(
            name, actor=_actor(request, note), reason=note.reason, if_match=_seen_revision(request)
        ),
    )
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post(
    f"{_VERSION}:retire",
    summary="Retire a version",
    response_model=RegisteredVersion,
    responses=_CONFLICT,
    openapi_extra=describe_body(Change, is_required=False),
)
@needs(Scope.MODELS_MANAGE)
async def retire(model: ModelName, version: VersionNumber, request: Request) -> Response:
    """Let a version answer no more; it may not have an alias, nor a part in the rollout."""
    where = check_model(model), parse_version(version)
    note = await _read_note(request)
    return _answer(
        await _run(
            request,
            lambda registry: registry.retire(
                *where, actor=_actor(request, note), reason=note.reason
            ),
        )
    )


@router.post(
    f"{_VERSION}:reactivate",
    summary="Bring a version back",
    response_model=RegisteredVersion,
    responses=_CONFLICT,
    openapi_extra=describe_body(Change, is_required=False),
)
@needs(Scope.MODELS_MANAGE)
async def reactivate(model: ModelName, version: VersionNumber, request: Request) -> Response:
    """Let a retired version answer again; one that was refused or deprecated is so no more."""
    where = check_model(model), parse_version(version)
    note = await _read_note(request)
    return _answer(
        await _run(
            request,
            lambda registry: registry.reactivate(
                *where, actor=_actor(request, note), reason=note.reason
            ),
        )
    )


@router.post(
    f"{_VERSION}:deprecate",
    summary="Announce a version's end",
    response_model=RegisteredVersion,
    responses=_CONFLICT,
    openapi_extra=describe_body(Deprecation, is_required=False),
)
@needs(Scope.MODELS_MANAGE)
async def deprecate(model: ModelName, version: VersionNumber, request: Request) -> Response:
    """Tell the callers of a version, by `Deprecation` and `Sunset`, that it is on its way out."""
    where = check_model(model), parse_version(version)
    body = await _read(request)
    note = parse_document(Deprecation, body or b"{}")
    return _answer(
        await _run(
            request,
            lambda registry: registry.deprecate(
                *where, sunset_at=note.sunset_at, actor=_actor(request, note), reason=note.reason
            ),
        )
    )


@router.get(
    "/{model:name}/history",
    summary="Show the changes",
    response_model=History,
    openapi_extra={
        "parameters": [
            {
                "name": "limit",
                "in": "query",
                "description": "How many changes at most.",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": _MAX_CHANGES,
                    "default": 100,
                },
            },
            {
                "name": "before",
                "in": "query",
                "description": "Only changes with a lower number than this.",
                "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
            },
        ]
    },
)
@needs(Scope.MODELS_MANAGE)
async def get_history(model: ModelName, request: Request) -> Response:
    """Show who changed what of a model, when and why, and what was there before."""
    name = check_model(model)
    limit = _read_number(request, "limit", _MAX_CHANGES) or 100
    before = _read_number(request, "before", 999_999_999)
    changes = await _run(
        request,
        lambda registry: registry.list_changes(name, limit=limit, before=before),
        is_change=False,
    )
    return _answer(History(changes=changes))


def tag_of(revision: int, sha256: str = "") -> str:
    """Return the ``ETag`` of something at a revision, and of a document about it."""
    return f'"r{revision}-{sha256}"' if sha256 else f'"r{revision}"'


def _seen_revision(request: Request) -> int | None:
    """Return the revision that the caller has seen: 0 for nothing, ``None`` for whatever."""
    if_match, if_none_match = (request.headers.get(name) for name in ("if-match", "if-none-match"))
    if if_none_match is not None:
        if if_none_match.strip() != "*" or if_match is not None:
            raise InvalidRequestError(
                f"Got If-None-Match {if_none_match[:64]!r}, but expected * and no If-Match."
            )
        return 0
    if if_match is None or if_match.strip() == "*":
        return None
    found = _TAG.fullmatch(if_match.strip())
    if found is None:
        raise InvalidRequestError(
            f"Got If-Match {if_match[:64]!r}, but expected one ETag of this address."
        )
    return int(found[1])


def _read_number(request: Request, name: str, highest: int) -> int | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    if re.fullmatch(r"[1-9][0-9]{0,8}", given) is None or int(given) > highest:
        raise InvalidRequestError(
            f"Got {name}={given[:32]!r} in the query, but expected 1 to {highest}."
        )
    return int(given)


async def _read(request: Request) -> bytes:
    if not part_of(request, Settings).lets_registry_change:
        raise ChangesForbiddenError(
            "Got a change of the registry, but this service lets nobody change it over HTTP."
        )
    return await JsonBody(request).read()


def _actor(request: Request, change: Change) -> str:
    """Return who is named in the history: the key, and only without keys who the body says."""
    return context_of(request.scope).caller.actor or change.actor


async def _read_note(request: Request) -> Change:
    return parse_document(Change, await _read(request) or b"{}")


async def _run(
    request: Request, call: Callable[[ModelRegistry], _Answer], *, is_change: bool = True
) -> _Answer:
    changes = part_of(request, RegistryChanges)
    answer: _Answer = await part_of(request, RegistryExecutor).run(changes.run, call)
    if is_change:
        await part_of(request, ActiveModels).catch_up()
    return answer


def _answer(document: BaseModel, revision: int | None = None) -> Response:
    headers = {} if revision is None else {"ETag": tag_of(revision)}
    content = document.model_dump_json().encode()
    return Response(content, media_type="application/json", headers=headers)
