"""The feature catalog that is in force, and newer ones as they are published."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from pydantic import ValidationError

from api.contract.feature_catalog import FeatureCatalog
from api.errors import (
    ArtifactError,
    FeatureCatalogMissingError,
    FeatureCatalogRefusedError,
    ServiceError,
)
from api.feast_protocol.catalog_index import CatalogIndex
from api.registry.artifact_store import ArtifactStore
from api.registry.registered_version import RegisteredCatalog, RegistryReader
from api.registry.registry_executor import RegistryExecutor

__all__ = ["FeatureCatalogs"]

_log: Final = structlog.get_logger(__name__)


class FeatureCatalogs:
    """Loads the catalog when it is first asked for, and looks for a newer one now and then.

    A look at the registry happens beside the event loop. Requests wait for the first catalog
    only; while a newer one is loaded, or cannot be, they get the one that stands.

    Parameters
    ----------
    registry, artifacts
        Where catalogs are published.
    executor
        Runs the look-ups beside the event loop.
    project
        Whose catalog; ``None`` is the one project that has published any.
    refresh_sec
        How long a catalog, and a failure to get one, is taken for the newest.
    """

    def __init__(
        self,
        *,
        registry: RegistryReader,
        artifacts: ArtifactStore,
        executor: RegistryExecutor,
        project: str | None,
        refresh_sec: float,
    ) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._executor = executor
        self._project = project
        self._refresh_sec = refresh_sec
        self._index: CatalogIndex | None = None
        self._sha256 = ""
        self._failure: ServiceError | None = None
        self._look_after = 0.0
        self._look: asyncio.Task[None] | None = None

    async def current(self) -> CatalogIndex:
        """Return the catalog in force.

        Raises
        ------
        FeatureCatalogMissingError
            If none is published, or those of several projects and none is chosen.
        FeatureCatalogRefusedError
            If it cannot be used.
        RegistryUnavailableError
            If the registry cannot be read.
        """
        loop = asyncio.get_running_loop()
        if self._look is None and loop.time() >= self._look_after:
            self._look = loop.create_task(self._look_for_newer())
        if self._index is None and self._look is not None:
            # The look is everybody's: a caller that goes away does not end it.
            await asyncio.wait([self._look])
        if self._index is not None:
            return self._index
        failure = self._failure or FeatureCatalogMissingError("The service is stopping.")
        raise failure.with_traceback(None)

    async def close(self) -> None:
        """End a look that is under way."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.wait([self._look])

    async def _look_for_newer(self) -> None:
        try:
            newest = self._choose(await self._executor.run(self._registry.list_feature_catalogs))
            if newest.sha256 != self._sha256:
                self._index = await self._executor.run(_load, self._artifacts, newest.sha256)
                self._sha256 = newest.sha256
                _log.info("feature_catalog_loaded", project=newest.project, sha256=newest.sha256)
        except ServiceError as error:
            if self._failure is None or str(error) != str(self._failure):
                _log.warning("feature_catalog_not_loaded", reason=str(error), exc_info=error)
            self._failure = error
        except Exception as error:
            # A look that nobody waits for must end in an answer for those who ask later.
            _log.exception("feature_catalog_not_loaded")
            self._failure = FeatureCatalogRefusedError("The feature catalog cannot be read.")
            self._failure.__cause__ = error
        else:
            self._failure = None
        finally:
            self._look_after = asyncio.get_running_loop().time() + self._refresh_sec
            self._look = None

    def _choose(self, catalogs: list[RegisteredCatalog]) -> RegisteredCatalog:
        found = [one for one in catalogs if self._project in (None, one.project)]
        if not found:
            whose = "" if self._project is None else f" of project {self._project!r}"
            raise FeatureCatalogMissingError(
                f"Got no feature catalog{whose}, but expected one; run `zeroskew apply`."
            )
        if len(found) > 1:
            names = ", ".join(one.project for one in found)
            raise FeatureCatalogMissingError(
                f"Got feature catalogs of several projects ({names}), but expected "
                "ZEROSKEW_FEAST_PROJECT to choose one."
            )
        return found[0]


def _load(artifacts: ArtifactStore, sha256: str) -> CatalogIndex:
    try:
        return CatalogIndex(FeatureCatalog.model_validate_json(artifacts.get(sha256)))
    except (ArtifactError, ValidationError) as error:
        raise FeatureCatalogRefusedError(
            "The published feature catalog is damaged or of another release; run `zeroskew apply` "
            "of this one."
        ) from error
