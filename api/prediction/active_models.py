"""Which models are loaded, and the way from an address to one of them.

What has an alias when the service starts stays loaded. Anything else that the registry
knows is loaded when it is first asked for, so a publish needs no restart, and the least
recently used of those make room.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

import structlog

from api.errors import ModelRefusedError
from api.field_types import InstanceLimits
from api.prediction.active_model import ActiveModel, load_model
from api.registry.artifact_store import ArtifactStore
from api.registry.registered_version import RegistryReader
from api.registry.registry_executor import RegistryExecutor

__all__ = ["ActiveModels"]

_log: Final = structlog.get_logger(__name__)


class ActiveModels:
    """The loaded models, by version and by alias.

    Parameters
    ----------
    registry, artifacts
        Where versions and their files are found.
    executor
        Runs the look-ups and the loading beside the event loop.
    limits
        What the service accepts from a request, whatever the model.
    max_on_demand
        How many versions without an alias at start are kept loaded.
    """

    def __init__(
        self,
        *,
        registry: RegistryReader,
        artifacts: ArtifactStore,
        executor: RegistryExecutor,
        limits: InstanceLimits,
        max_on_demand: int,
    ) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._executor = executor
        self._limits = limits
        self._max_on_demand = max_on_demand
        self._pinned: dict[tuple[str, int], ActiveModel] = {}
        self._on_demand: OrderedDict[tuple[str, int], ActiveModel] = OrderedDict()
        self._aliases: dict[tuple[str, str], int] = {}
        self._loading = asyncio.Lock()

    async def load_aliased(self) -> None:
        """Load every version that an alias points to.

        Raises
        ------
        ModelRefusedError
            If one fails the load gate: the service does not start on it.
        """
        for model in await self._executor.run(self._registry.list_models):
            aliases = await self._executor.run(self._registry.list_aliases, model)
            for alias, version in aliases.items():
                self._aliases[model, alias] = version
                if (model, version) not in self._pinned:
                    self._pinned[model, version] = await self._load(model, version)

    def loaded(self) -> list[ActiveModel]:
        """Return the loaded models, sorted by name and version."""
        models = [*self._pinned.values(), *self._on_demand.values()]
        return sorted(models, key=lambda model: (model.name, model.version))

    def aliases(self) -> dict[tuple[str, str], int]:
        """Return the version of each model and alias that is known so far."""
        return dict(self._aliases)

    async def by_version(self, model: str, version: int) -> ActiveModel:
        """Return one version, loading it where it is not loaded yet.

        Raises
        ------
        UnknownModelError, UnknownVersionError
            If the registry has no such model or version.
        ModelRefusedError, RegistryUnavailableError
            If it fails the load gate, or the registry cannot be read.
        """
        found = self._find(model, version)
        if found is not None:
            return found
        async with self._loading:
            found = self._find(model, version)
            if found is None:
                found = self._on_demand[model, version] = await self._load(model, version)
                while len(self._on_demand) > self._max_on_demand:
                    self._on_demand.popitem(last=False)
            return found

    async def by_alias(self, model: str, alias: str) -> ActiveModel:
        """Return the version that `alias` points to, loading it where it is not loaded yet.

        An alias points where it pointed when it was first seen; following it as it moves is
        not done yet.

        Raises
        ------
        UnknownModelError, UnknownAliasError
            If the registry has no such model or alias.
        ModelRefusedError, RegistryUnavailableError
            If it fails the load gate, or the registry cannot be read.
        """
        version = self._aliases.get((model, alias))
        if version is None:
            version = (await self._executor.run(self._registry.resolve_alias, model, alias)).version
            self._aliases[model, alias] = version
        return await self.by_version(model, version)

    def _find(self, model: str, version: int) -> ActiveModel | None:
        found = self._pinned.get((model, version))
        if found is None and (found := self._on_demand.get((model, version))) is not None:
            self._on_demand.move_to_end((model, version))
        return found

    async def _load(self, model: str, version: int) -> ActiveModel:
        log = _log.bind(model=model, version=version)
        registered = await self._executor.run(self._registry.get_version, model, version)
        try:
            loaded = await self._executor.run(load_model, registered, self._artifacts, self._limits)
        except ModelRefusedError as error:
            log.error("model_refused", reason=str(error))  # noqa: TRY400 - the reason says it all
            raise
        log.info("model_loaded", inline_rows=loaded.session.inline_rows)
        return loaded
