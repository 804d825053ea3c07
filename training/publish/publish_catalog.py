"""Make the catalog of what is applied the newest of its project."""

from __future__ import annotations

from contextlib import closing

from training.project.workspace import Workspace
from zeroskew.contract.feature_catalog import FeatureCatalog
from zeroskew.features.plans.compile_catalog import compile_catalog
from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = ["publish_catalog"]


def publish_catalog(workspace: Workspace) -> FeatureCatalog:
    """Compile the catalog of what is applied, and make it the newest of its project.

    Raises
    ------
    StepError
        If there is no Feast repo.
    RegistrySchemaError
        If the registry's tables are of another release.
    """
    catalog = compile_catalog(workspace.open_definitions())
    with closing(ModelRegistry.open(workspace.database_url)) as registry:
        sha256 = workspace.open_artifacts().put(catalog.model_dump_json().encode())
        registry.add_feature_catalog(project=catalog.project, sha256=sha256)
    return catalog
