"""Opens the database of what was served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.project.workspace import Workspace

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from zeroskew.contract.manifest import Manifest
    from zeroskew.contract.rollout import Arm, Shadow
    from zeroskew.records.artifacts.artifact_store import ArtifactStore
    from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = ["LiveLog", "open_log"]


@dataclass(frozen=True)
class LiveLog:
    """Where jobs read what was served, and what came of it."""

    engine: Engine
    registry: ModelRegistry
    artifacts: ArtifactStore

    def read_manifest(self, model: str, version: int) -> Manifest:
        """Return the manifest of a version.

        Raises
        ------
        UnknownVersionError, ArtifactError
            If there is no such version, or its manifest is gone, damaged or of another release.
        """
        from zeroskew.contract.manifest import parse_manifest

        found = self.registry.get_version(model, version)
        return parse_manifest(self.artifacts.get(found.manifest_sha256))

    def resolve(self, model: str, target: Arm | Shadow) -> int:
        """Return the version of an arm or a shadow."""
        if target.version is not None:
            return target.version
        return self.registry.resolve_alias(model, str(target.alias)).version


@contextmanager
def open_log(
    database_url: str | None = None, workspace: Workspace | None = None
) -> Iterator[LiveLog]:
    """Open the database at a URL, or else the workspace's, which is this process's.

    Raises
    ------
    RegistrySchemaError
        If its tables are another release's.
    """
    from zeroskew.records.database.open_database import open_database
    from zeroskew.records.registry.model_registry import ModelRegistry

    workspace = workspace or Workspace()
    url = database_url or workspace.registry_url
    engine = open_database(url)
    registry = ModelRegistry.open(url)
    try:
        yield LiveLog(engine, registry, workspace.open_artifacts())
    finally:
        registry.close()
        engine.dispose()
