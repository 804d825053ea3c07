"""The feature catalog that is in force, and newer ones as they are published."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from pydantic import ValidationError

from api.feast.catalog_index import CatalogIndex
from zeroskew.contract.errors.not_found import FeatureCatalogMissingError
from zeroskew.contract.errors.service import (
    ArtifactError,
    FeatureCatalogRefusedError,
    RegistryUnavailableError,
    ServiceError,
)
from zeroskew.contract.feature_catalog import FeatureCatalog
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.registered_version import RegisteredCatalog, RegistryReader
from zeroskew.records.registry.registry_executor import RegistryExecutor

__all__ = ["FeatureCatalogs"]

_PATIENCE_SEC: Final = 0.5
"""How long a request waits for a look while there is a catalog to answer from."""
_log: Final = structlog.get_logger(__name__)


class FeatureCatalogs:
    """Loads the catalog, and looks for a newer one whenever one is asked for.

    A look at the registry happens beside the event loop and is shared: it answers all who asked
    before it began, so that the first answer after an ``apply`` is from the new catalog. Where
    the registry fails or takes long, or a newer catalog cannot be loaded, requests get the one
    that stands.

    Parameters
    ----------
    registry, artifacts
        Where catalogs are published.
    executor
        Runs the look-ups beside the event loop.
    project
        Whose catalog; ``None`` is the one project that has published any.
    refresh_sec
        How long after a failure nothing is tried again.
    timeout_sec
        How long a request waits for the first catalog.
    """

    def __init__(
        self,
        *,
        registry: RegistryReader,
        artifacts: ArtifactStore,
        executor: RegistryExecutor,
        project: str | None,
        refresh_sec: float,
        timeout_sec: float,
    ) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._executor = executor
        self._project = project
        self._refresh_sec = refresh_sec
        self._timeout_sec = timeout_sec
        self._index: CatalogIndex | None = None
        self._sha256 = ""
        self._failure: ServiceError | None = None
        self._failed_sha256 = ""
        self._look_after = 0.0
        self._load_after = 0.0
        self._look: asyncio.Task[None] | None = None
        self._n_begun = self._n_done = 0

    async def current(self) -> CatalogIndex:
        """Return the catalog in force.

        Raises
        ------
        FeatureCatalogMissingError
            If none is published, or those of several projects and none is chosen.
        FeatureCatalogRefusedError
            If it cannot be used.
        RegistryUnavailableError
            If the registry cannot be read, or not in time.
        """
        await self._look_again()
        if self._index is not None:
            return self._index
        failure = self._failure or FeatureCatalogMissingError("The service is stopping.")
        raise failure.with_traceback(None)

    async def close(self) -> None:
        """End a look that is under way."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.wait([self._look])

    async def _look_again(self) -> None:
        """Wait for a look that begins from now on, but not long where a catalog stands."""
        loop = asyncio.get_running_loop()
        patience = self._timeout_sec if self._index is None else _PATIENCE_SEC
        deadline = loop.time() + patience
        needed = self._n_begun + 1
        while self._n_done < needed and loop.time() >= self._look_after:
            if self._look is None:
                self._n_begun += 1
                self._look = loop.create_task(self._look_for_newer())
            # The look is everybody's: a caller that goes away does not end it.
            done, _ = await asyncio.wait([self._look], timeout=deadline - loop.time())
            if not done:
                self._look_after = loop.time() + self._refresh_sec
                self._failure = RegistryUnavailableError(
                    f"Got no feature catalog within {patience:g} s, but expected the model "
                    "registry to answer by then."
                )

    async def _look_for_newer(self) -> None:
        loop = asyncio.get_running_loop()
        sha256 = ""
        try:
            newest = self._choose(await self._executor.run(self._registry.list_feature_catalogs))
            sha256 = newest.sha256
            if sha256 == self._failed_sha256 and loop.time() < self._load_after:
                return
            if sha256 != self._sha256:
                self._index = await self._executor.run(_load, self._artifacts, sha256)
                self._sha256 = sha256
                _log.info("feature_catalog_loaded", project=newest.project, sha256=sha256)
            self._failure = None
        except ServiceError as error:
            if self._failure is None or str(error) != str(self._failure):
                _log.warning("feature_catalog_not_loaded", reason=str(error), exc_info=error)
            self._fail(error, sha256)
        except Exception as error:
            # A look that nobody waits for must end in an answer for those who ask later.
            _log.exception("feature_catalog_not_loaded")
            failure = FeatureCatalogRefusedError("The feature catalog cannot be read.")
            failure.__cause__ = error
            self._fail(failure, sha256)
        finally:
            self._n_done = self._n_begun
            self._look = None

    def _fail(self, failure: ServiceError, sha256: str) -> None:
        """Remember a failure, of a catalog or, without `sha256`, of the registry."""
        again = asyncio.get_running_loop().time() + self._refresh_sec
        self._failure = failure
        if sha256:
            self._failed_sha256, self._load_after = sha256, again
        elif not isinstance(failure, FeatureCatalogMissingError):
            self._look_after = again

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
