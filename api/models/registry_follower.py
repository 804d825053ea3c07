"""Keeps what is served in step with the registry, one whole model at a time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import structlog

from api.models.loaded_models import LoadedModels
from api.models.rollout_route import RolloutRoute, make_route
from api.models.serving_table import ServedModel, ServingTable, find_targets
from zeroskew.contract.errors.service import (
    ArtifactStoreUnavailableError,
    ModelRefusedError,
    RegistryUnavailableError,
)
from zeroskew.contract.rollout import CHAMPION, Rollout
from zeroskew.records.registry.registered_version import RegisteredModel, RegistryReader
from zeroskew.records.registry.registry_executor import RegistryExecutor

__all__ = ["RegistryFollower"]

_MAX_FALLBACKS: Final = 3
"""How many earlier versions are tried when the service starts on a champion that is refused."""

_Answer = TypeVar("_Answer")
_log: Final = structlog.get_logger(__name__)


class RegistryFollower:
    """Looks at the registry, and replaces the table of what is served after each change.

    A version that an alias or a rollout names newly is loaded beside the event loop while the
    earlier one serves; then the model's row in the table is replaced by one assignment. A
    version that is refused changes nothing: what served goes on.

    Parameters
    ----------
    registry
        Is asked for its generation, and for a snapshot when that has changed.
    executor
        Runs these calls beside the event loop.
    loaded
        Loads versions.
    timeout_sec
        How long the registry may take to answer.
    """

    def __init__(
        self,
        *,
        registry: RegistryReader,
        executor: RegistryExecutor,
        loaded: LoadedModels,
        timeout_sec: float,
    ) -> None:
        self._registry = registry
        self._executor = executor
        self._loaded = loaded
        self._timeout_sec = timeout_sec
        self._late_call: asyncio.Task[Any] | None = None
        self._lock = asyncio.Lock()
        self._n_looks = 0
        self._seen_at = time.monotonic()
        self._is_away = False
        self.table = ServingTable()
        """What is served now. Whoever answers a request reads it once."""
        self.n_swaps: Counter[str] = Counter()
        """How often other versions came to serve for each model."""

    @property
    def registry_away_sec(self) -> float:
        """For how long the registry could not be read; 0 while it can."""
        return time.monotonic() - self._seen_at if self._is_away else 0.0

    async def start(self) -> None:
        """Load what aliases and rollouts name, as far as there is room.

        Raises
        ------
        ModelRefusedError
            If nothing that an alias of some model names can be served.
        RegistryUnavailableError, ArtifactStoreUnavailableError
            If the registry or the model files cannot be read.
        """
        async with self._lock:
            await self._look(is_start=True)

    async def follow(self) -> None:
        """Look at the registry, one of many times; that it is away is no failure of the look's."""
        try:
            await self.catch_up()
        except RegistryUnavailableError as error:
            self._note_away(str(error))

    async def catch_up(self) -> None:
        """Look at the registry now; callers who come meanwhile share the next look.

        Raises
        ------
        RegistryUnavailableError
            If it cannot be read.
        """
        n_looks = self._n_looks
        async with self._lock:
            if self._n_looks <= n_looks:
                self._n_looks += 1
                await self._look()

    async def settle(self, model: str) -> None:
        """Choose anew what serves for one model, after a version of it was refused."""
        async with self._lock:
            served = self.table.models.get(model)
            if served is not None:
                await self._settle(served.registered, is_start=False)

    def _note_away(self, reason: str) -> None:
        if not self._is_away:
            self._is_away = True
            _log.error("registry_away", reason=reason)

    async def _look(self, *, is_start: bool = False) -> None:
        generation = await self._ask(self._registry.read_generation)
        if self._is_away:
            _log.info("registry_back", away_sec=round(self.registry_away_sec, 3))
        self._is_away, self._seen_at = False, time.monotonic()
        if generation == self.table.generation:
            return
        snapshot = await self._ask(self._registry.read_snapshot)
        is_settled = True
        for registered in snapshot.models:
            served = self.table.models.get(registered.name)
            if served is None or not served.is_all_of(registered):
                for version in registered.versions:
                    if version.refused_reason is None:
                        self._loaded.forgive(registered.name, version.version)
                is_settled &= await self._settle(registered, is_start=is_start)
        names = {registered.name for registered in snapshot.models}
        self.table = ServingTable(
            # What could not be loaded for lack of its files is tried at the next look.
            snapshot.generation if is_settled else None,
            {name: served for name, served in self.table.models.items() if name in names},
        )
        self._loaded.targets = self.table.list_targets()

    async def _ask(self, call: Callable[[], _Answer]) -> _Answer:
        """Return the registry's answer; one that hangs is waited for, and not asked again."""
        late = self._late_call
        if late is None or late.done():
            task = asyncio.create_task(self._executor.run(call))
            done, _ = await asyncio.wait({task}, timeout=self._timeout_sec)
            if done:
                return task.result()
            self._late_call = task
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        raise RegistryUnavailableError(
            f"The model registry has not answered within {self._timeout_sec:g} seconds."
        )

    async def _settle(self, registered: RegisteredModel, *, is_start: bool) -> bool:
        """Load what a model's aliases and rollout name, and put the model into the table."""
        before = self.table.models.get(registered.name)
        named = find_targets(registered.rollout, registered.aliases) | {
            *registered.aliases.values()
        }
        self._loaded.targets |= {(registered.name, version) for version in named}
        try:
            aliases = await self._choose_aliases(registered, before, is_start=is_start)
            routed = await self._choose_rollout(registered, before, aliases)
        except ArtifactStoreUnavailableError as error:
            if is_start:
                raise
            _log.warning("model_not_followed", model=registered.name, reason=str(error))
            return False
        served = ServedModel(registered, aliases, *routed)
        self.table = self.table.with_model(served)
        for version in registered.versions:
            if version.state == "retired" and version.version not in served.targets:
                self._loaded.drop(registered.name, version.version)
        if before is None or (dict(before.aliases), before.rollout) != (aliases, routed[0]):
            self.n_swaps[registered.name] += 1
            _log.info("model_served", model=registered.name, aliases=aliases)
        # What is not there may be on its way, and is looked for again at the next look.
        return not any(self._loaded.is_missing(registered.name, version) for version in named)

    async def _choose_aliases(
        self, registered: RegisteredModel, before: ServedModel | None, *, is_start: bool
    ) -> dict[str, int]:
        """Return the version for each alias: the one it points to, or else the one before.

        A service that starts knows of none before. Instead of a refused champion it takes an
        earlier version that was live, so that one that starts anew does as one that goes on.
        """
        aliases = {}
        refusal: ModelRefusedError | None = None
        for alias, version in registered.aliases.items():
            candidates = [version]
            if before is not None and before.aliases.get(alias, version) != version:
                candidates.append(before.aliases[alias])
            elif alias == CHAMPION:
                candidates += _list_fallbacks(registered, version)
            try:
                chosen = await self._load_first(registered, candidates, is_start=is_start)
            except ModelRefusedError as error:
                refusal = error
                continue
            if chosen != version and not _is_still(before, registered, alias, chosen):
                _log.warning(
                    "alias_not_followed",
                    model=registered.name,
                    alias=alias,
                    refused=version,
                    serving=chosen,
                )
            aliases[alias] = chosen
        if is_start and refusal is not None and not aliases:
            raise refusal
        return aliases

    async def _choose_rollout(
        self, registered: RegisteredModel, before: ServedModel | None, aliases: dict[str, int]
    ) -> tuple[Rollout | None, int, RolloutRoute | None]:
        """Return the rollout, its revision and its route, or else those before.

        It is followed when all of its versions can serve, and answer one another's callers.
        """
        if registered.rollout is None:
            return None, registered.rollout_revision, None
        versions = {version.version: version for version in registered.versions}
        try:
            manifests = {
                number: (await self._loaded.get(versions[number])).manifest
                for number in sorted(find_targets(registered.rollout, aliases) & set(versions))
            }
            route = make_route(registered.rollout, aliases, manifests)
        except (ModelRefusedError, ValueError) as error:
            _log.warning("rollout_not_followed", model=registered.name, reason=str(error))
            if before is None:
                return None, 0, None
            return before.rollout, before.rollout_revision, before.route
        return registered.rollout, registered.rollout_revision, route

    async def _load_first(
        self, registered: RegisteredModel, candidates: Iterable[int], *, is_start: bool
    ) -> int:
        """Return the first version that passes the load gate.

        When the service starts and there is no room left, the first is taken unseen, and loaded
        when it is asked for.
        """
        versions = {version.version: version for version in registered.versions}
        refusal: ModelRefusedError | None = None
        for candidate in candidates:
            if is_start and self._loaded.is_full:
                return candidate
            try:
                await self._loaded.get(versions[candidate])
            except ModelRefusedError as error:
                refusal = refusal or error
            else:
                return candidate
        assert refusal is not None
        raise refusal


def _is_still(
    before: ServedModel | None, registered: RegisteredModel, alias: str, version: int
) -> bool:
    """Whether an alias served so at the last look, when the registry said the same."""
    return (
        before is not None
        and before.registered == registered
        and before.aliases.get(alias) == version
    )


def _list_fallbacks(registered: RegisteredModel, version: int) -> list[int]:
    """Return the versions before one that were live, the newest first."""
    earlier = [
        one.version for one in registered.versions if one.version < version and one.state == "live"
    ]
    return sorted(earlier, reverse=True)[:_MAX_FALLBACKS]
