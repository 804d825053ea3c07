"""What else the Open Inference Protocol's clients ask about models: which, how set up, how busy."""

from __future__ import annotations

from collections import defaultdict
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter

from api.access.caller import Caller
from api.access.route_access import with_key
from api.http.application import part
from api.http.context import Context
from api.http.guarded_route import GuardedRoute
from api.http.problem import problems
from api.http.request_body import document_body
from api.metrics.service_metrics import ServiceMetrics
from api.models.active_models import ActiveModels
from api.models.addresses import Model, Version
from api.models.model_catalog import ModelCatalog
from api.v2.documents import (
    IndexRequest,
    ModelConfiguration,
    ModelNames,
    ModelStatistics,
    RepositoryEntry,
    VersionStatistics,
)
from api.v2.model_interface import PLATFORM, Interface, ModelInterface
from zeroskew.contract.rollout import CHAMPION
from zeroskew.contract.settings import Settings
from zeroskew.model.load_gate import ActiveModel
from zeroskew.records.registry.registered_version import RegisteredVersion
from zeroskew.records.registry.registry_executor import RegistryExecutor

__all__ = ["INDEX_DOCUMENTS", "router"]

INDEX_DOCUMENTS: Final = (IndexRequest,)
"""The bodies that the routes here take."""

_OF_CHAMPION: Final = problems(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)
_OF_VERSION: Final = problems(HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.SERVICE_UNAVAILABLE)

Catalog = Annotated[ModelCatalog, part(ModelCatalog)]
Executor = Annotated[RegistryExecutor, part(RegistryExecutor)]
Metrics = Annotated[ServiceMetrics, part(ServiceMetrics)]
Models = Annotated[ActiveModels, part(ActiveModels)]
Configured = Annotated[Settings, part(Settings)]

router = APIRouter(prefix="/v2", tags=["open inference"], route_class=GuardedRoute)


@router.get(
    "/models", summary="List the models", responses=problems(HTTPStatus.SERVICE_UNAVAILABLE)
)
@with_key
async def list_models(context: Context, catalog: Catalog, executor: Executor) -> ModelNames:
    """List the names of all registered models that the caller sees."""
    found = await executor.run(catalog.list_models, context.caller.sees)
    return ModelNames(models=found.models)


@router.post(
    "/repository/index",
    summary="List every version",
    responses=problems(HTTPStatus.SERVICE_UNAVAILABLE),
)
@with_key
async def list_versions(
    asked: Annotated[
        IndexRequest, document_body(IndexRequest, is_required=False, takes_binary=True)
    ],
    context: Context,
    catalog: Catalog,
    executor: Executor,
) -> list[RepositoryEntry]:
    """List every version, and whether it answers: one that does is loaded at its first request."""
    found = await executor.run(catalog.list_models, context.caller.sees)
    entries = [_to_entry(one) for model in found.details for one in model.versions]
    return [one for one in entries if one.state == "READY" or not asked.ready]


@router.get("/models/stats", summary="Count what all models scored")
@with_key
async def get_all_statistics(context: Context, metrics: Metrics) -> ModelStatistics:
    """Tell what each version has scored since the service started, in all its processes."""
    return _count(metrics, context.caller, None, None)


@router.get(
    "/models/{model:name}/stats", summary="Count what a model scored", responses=_OF_CHAMPION
)
@with_key
async def get_statistics(
    model: Model, context: Context, catalog: Catalog, executor: Executor, metrics: Metrics
) -> ModelStatistics:
    """Tell what each version of a model has scored since the service started."""
    await executor.run(catalog.get_model, model)
    return _count(metrics, context.caller, model, None)


@router.get(
    "/models/{model:name}/versions/{version:name}/stats",
    summary="Count what a version scored",
    responses=_OF_VERSION,
)
@with_key
async def get_version_statistics(
    model: Model, version: Version, context: Context, models: Models, metrics: Metrics
) -> ModelStatistics:
    """Tell what one version has scored since the service started."""
    active = await models.by_version(model, version)
    return _count(metrics, context.caller, model, str(active.version))


@router.get(
    "/models/{model:name}/config", summary="Show a model's configuration", responses=_OF_CHAMPION
)
@with_key
async def get_config(model: Model, models: Models, settings: Configured) -> ModelConfiguration:
    """Describe the champion as Triton's model configuration does."""
    return _configure(await models.by_alias(model, CHAMPION), settings)


@router.get(
    "/models/{model:name}/versions/{version:name}/config",
    summary="Show a version's configuration",
    responses=_OF_VERSION,
)
@with_key
async def get_version_config(
    model: Model, version: Version, models: Models, settings: Configured
) -> ModelConfiguration:
    """Describe one version as Triton's model configuration does."""
    active = await models.by_version(model, version)
    return _configure(active, settings)


def _to_entry(one: RegisteredVersion) -> RepositoryEntry:
    reason = ""
    if one.state == "retired":
        reason = "It is retired."
    elif one.refused_at is not None:
        reason = one.refused_reason or "It did not pass the checks before loading."
    state = "UNAVAILABLE" if reason else "READY"
    return RepositoryEntry(name=one.model, version=str(one.version), state=state, reason=reason)


def _count(
    metrics: ServiceMetrics, caller: Caller, model: str | None, version: str | None
) -> ModelStatistics:
    rows, requests = metrics.rows.name, metrics.predictions.name
    counts: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for family in metrics.book.collect():
        for sample in family.samples:
            if sample.name in (rows, requests):
                key = sample.labels["model"], sample.labels["version"]
                counts[key][sample.name] += int(sample.value)
    return ModelStatistics(
        model_stats=[
            VersionStatistics(
                name=key[0],
                version=key[1],
                inference_count=found[rows],
                execution_count=found[requests],
            )
            for key, found in sorted(counts.items())
            if model in (None, key[0]) and version in (None, key[1]) and caller.sees(key[0])
        ]
    )


def _configure(active: ActiveModel, settings: Settings) -> ModelConfiguration:
    interface = ModelInterface(active.manifest)
    return ModelConfiguration(
        name=active.name,
        platform=PLATFORM,
        backend="onnxruntime",
        max_batch_size=settings.max_instances,
        input=[one.configure() for one in interface.inputs[Interface.ENTITY].values()],
        output=[one.configure() for one in interface.outputs[Interface.ENTITY].values()],
    )
