"""Which models, versions and aliases there are, and whether they are served.

The documents hold what clients of TensorFlow Serving and of KServe V1 read from these
addresses, and beside it what the registry knows. A model's and a version's status says how
its next prediction would fare, so asking for it loads the version, as a prediction would.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.access.route_access import with_key
from api.http.application import part, part_of
from api.http.context import Context
from api.http.documents import HttpDocument, answer_document
from api.http.guarded_route import GuardedRoute
from api.http.problem import problems
from api.models.active_models import ActiveModels
from api.models.addresses import Alias, Model, Version
from api.models.loaded_models import LoadedModels
from api.models.model_card import write_model_card
from api.models.model_catalog import ModelCatalog, ModelDetail, ModelList, ModelVersionDetail
from api.models.registry_follower import RegistryFollower
from zeroskew.contract.errors.not_found import NotFoundError, VersionRetiredError
from zeroskew.contract.errors.service import ModelRefusedError
from zeroskew.contract.rollout import CHAMPION
from zeroskew.model.requests.v1_documents import ModelMetadata, ModelVersionStatus, describe_status
from zeroskew.records.registry.registered_version import RegisteredAlias
from zeroskew.records.registry.registry_executor import RegistryExecutor

__all__ = ["router"]

_VERSION: Final = "/{model:name}/versions/{version:name}"
_NAMED: Final = problems(HTTPStatus.NOT_FOUND)
_ALIAS: Final = "/{model:name}/labels/{alias:name}"

Catalog = Annotated[ModelCatalog, part(ModelCatalog)]
Executor = Annotated[RegistryExecutor, part(RegistryExecutor)]

router = APIRouter(
    prefix="/v1/models",
    tags=["models"],
    route_class=GuardedRoute,
    responses=problems(HTTPStatus.SERVICE_UNAVAILABLE),
)


class ModelStatus(ModelDetail):
    """One model: whether it is served, its aliases and its versions, the newest first."""

    ready: bool = Field(description="Whether `:predict` of this model answers.")
    model_version_status: list[ModelVersionStatus]


class ModelVersionStatusDetail(ModelVersionDetail):
    """One version: whether it is served, and its whole manifest."""

    model_version_status: list[ModelVersionStatus] = Field(description="That of this version.")


@router.get("", summary="List the models", response_model=ModelList)
@with_key
async def list_models(
    request: Request, context: Context, catalog: Catalog, executor: Executor
) -> Response:
    """List the names of all registered models, and each with its versions and aliases."""
    models = await executor.run(catalog.list_models, context.caller.sees)
    return _answer(request, models)


@router.get(
    "/{model:name}", summary="Is the model ready?", response_model=ModelStatus, responses=_NAMED
)
@with_key
async def get_model(
    model: Model, request: Request, catalog: Catalog, executor: Executor
) -> Response:
    """Tell whether a model is served, with the state of each version, and its aliases."""
    detail = await executor.run(catalog.get_model, model)
    champion = detail.aliases.get(CHAMPION)
    asked = None if champion is None else await _status_of(request, model, champion)
    ready = await _is_ready(request, model)
    table = part_of(request, RegistryFollower).table
    loaded = {
        one.version for one in part_of(request, LoadedModels).list_loaded() if one.name == model
    }
    statuses = []
    for one in detail.versions:
        if asked is not None and one.version == champion:
            statuses.append(asked)
        elif not table.answers(model, one.version):
            # It may be loaded all the same, for whoever looks at what it answered.
            statuses.append(describe_status(one.version, "END", is_retired=True))
        else:
            is_loaded = one.version in loaded
            statuses.append(describe_status(one.version, "AVAILABLE" if is_loaded else "START"))
    return _answer(request, ModelStatus(**dict(detail), ready=ready, model_version_status=statuses))


@router.get(
    "/{model:name}/metadata",
    summary="Inputs and outputs",
    response_model=ModelMetadata,
    responses=_NAMED,
)
@with_key
async def get_metadata(
    model: Model, request: Request, catalog: Catalog, executor: Executor
) -> Response:
    """Describe the inputs and outputs of the version that the alias `champion` points to."""
    found = await _resolve(catalog, executor, model, CHAMPION)
    return await _answer_metadata(request, catalog, executor, model, found.version)


@router.get(
    _VERSION, summary="Show a version", response_model=ModelVersionStatusDetail, responses=_NAMED
)
@with_key
async def get_version(
    model: Model, version: Version, request: Request, catalog: Catalog, executor: Executor
) -> Response:
    """Show a version with its manifest: request fields, metrics, parity report and data."""
    return await _answer_version(request, catalog, executor, model, version)


@router.get(
    f"{_VERSION}/card",
    summary="Show a version's model card",
    response_class=Response,
    responses=_NAMED | {200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}},
)
@with_key
async def get_card(
    model: Model, version: Version, request: Request, catalog: Catalog, executor: Executor
) -> Response:
    """Say in Markdown what a version is for, what it was made of, and how good it is."""
    detail = await executor.run(catalog.get_version, model, version)
    card = write_model_card(detail.registered, detail.manifest, detail.aliases)
    return answer_document(request, HttpDocument.of(card.encode(), "text/markdown; charset=utf-8"))


@router.get(
    f"{_VERSION}/metadata",
    summary="Inputs and outputs of a version",
    response_model=ModelMetadata,
    responses=_NAMED,
)
@with_key
async def get_version_metadata(
    model: Model, version: Version, request: Request, catalog: Catalog, executor: Executor
) -> Response:
    """Describe the inputs and outputs of one version."""
    return await _answer_metadata(request, catalog, executor, model, version)


@router.get(
    _ALIAS,
    summary="Show the version of an alias",
    response_model=ModelVersionStatusDetail,
    responses=_NAMED,
)
@with_key
async def get_alias(
    model: Model, alias: Alias, request: Request, catalog: Catalog, executor: Executor
) -> Response:
    """Show the version that an alias points to, with its manifest."""
    found = await _resolve(catalog, executor, model, alias)
    tag_prefix = f"r{found.revision}-"
    return await _answer_version(request, catalog, executor, model, found.version, tag_prefix)


@router.get(
    f"{_ALIAS}/metadata",
    summary="Inputs and outputs of an alias",
    response_model=ModelMetadata,
    responses=_NAMED,
)
@with_key
async def get_alias_metadata(
    model: Model, alias: Alias, request: Request, catalog: Catalog, executor: Executor
) -> Response:
    """Describe the inputs and outputs of the version that an alias points to."""
    found = await _resolve(catalog, executor, model, alias)
    return await _answer_metadata(request, catalog, executor, model, found.version)


async def _resolve(
    catalog: ModelCatalog, executor: RegistryExecutor, model: str, alias: str
) -> RegisteredAlias:
    return await executor.run(catalog.get_alias, model, alias)


async def _is_ready(request: Request, model: str) -> bool:
    try:
        await part_of(request, ActiveModels).find(model)
    except (NotFoundError, ModelRefusedError):
        return False
    return True


async def _status_of(request: Request, model: str, version: int) -> ModelVersionStatus:
    try:
        await part_of(request, ActiveModels).by_version(model, version)
    except ModelRefusedError:
        return describe_status(version, "END")
    except VersionRetiredError:
        return describe_status(version, "END", is_retired=True)
    return describe_status(version, "AVAILABLE")


async def _answer_version(
    request: Request,
    catalog: ModelCatalog,
    executor: RegistryExecutor,
    model: str,
    version: int,
    tag_prefix: str = "",
) -> Response:
    detail = await executor.run(catalog.get_version, model, version)
    status = await _status_of(request, model, version)
    document = ModelVersionStatusDetail(**dict(detail), model_version_status=[status])
    notices = part_of(request, RegistryFollower).table.get_notices(model, [version])
    return _answer(request, document, notices, tag_prefix)


async def _answer_metadata(
    request: Request, catalog: ModelCatalog, executor: RegistryExecutor, model: str, version: int
) -> Response:
    return _answer(
        request,
        await executor.run(catalog.get_metadata, model, version),
    )


def _answer(
    request: Request,
    document: BaseModel,
    headers: Mapping[str, str] | None = None,
    tag_prefix: str = "",
) -> Response:
    content = HttpDocument.of(document.model_dump_json().encode(), "application/json")
    return answer_document(request, content, headers, tag_prefix=tag_prefix)
