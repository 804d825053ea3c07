"""Which models, versions and aliases there are."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import ServiceResources
from api.prediction.model_catalog import ModelDetail, ModelList, ModelVersionDetail
from api.routers.addresses import ModelName, VersionNumber, check_model, parse_version

__all__ = ["router"]

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", summary="List the models")
async def list_models(resources: ServiceResources) -> ModelList:
    """Return all registered models with their versions and aliases."""
    return await resources.registry_executor.run(resources.catalog.list_models)


@router.get("/{model:name}", summary="Show a model")
async def get_model(model: ModelName, resources: ServiceResources) -> ModelDetail:
    """Return one model with its versions, the newest first, and its aliases."""
    return await resources.registry_executor.run(resources.catalog.get_model, check_model(model))


@router.get("/{model:name}/versions/{version:name}", summary="Show a version of a model")
async def get_version(
    model: ModelName, version: VersionNumber, resources: ServiceResources
) -> ModelVersionDetail:
    """Return one version with its manifest: request fields, metrics, parity report and data."""
    return await resources.registry_executor.run(
        resources.catalog.get_version, check_model(model), parse_version(version)
    )
