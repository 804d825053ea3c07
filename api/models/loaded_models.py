"""The versions that are in memory: loaded when first asked for, dropped when room is needed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import structlog

from zeroskew.contract.errors.service import ModelMissingError, ModelRefusedError, ServiceError
from zeroskew.model.load_gate import ActiveModel, load_model
from zeroskew.model.requests.field_types import InstanceLimits
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.registered_version import RegisteredVersion, RegistryReader
from zeroskew.records.registry.registry_executor import RegistryExecutor

__all__ = ["LoadedModels", "estimate_bytes"]

_Key: TypeAlias = tuple[str, int]

_FIXED_BYTES: Final = 3_500_000
_BYTES_A_FILE_BYTE: Final = 8
"""What a loaded version takes beside its file; docs/trials.md has the measurement."""

_REFUSED_FOR_SEC: Final = 10.0
"""How long a refused version is not tried again: a file may have been put right meanwhile."""

_MISSING_FOR_SEC: Final = 1.0
"""How long one whose files are not there is not tried again: they may be on their way."""

_WARNED_EVERY_SEC: Final = 60.0

_log: Final = structlog.get_logger(__name__)


def estimate_bytes(model_file_bytes: int) -> int:
    """Return about how much memory a loaded version takes, by the size of its model file."""
    return _FIXED_BYTES + _BYTES_A_FILE_BYTE * model_file_bytes


class LoadedModels:
    """Versions in memory, the least recently used first, within a bound.

    Parameters
    ----------
    registry
        Is told what was refused, and why.
    artifacts
        Where the files are.
    executor
        Runs the loading beside the event loop.
    limits
        What the service accepts from a request, whatever the model.
    trusted_keys
        Where there are some, one of them must have signed a version.
    max_bytes
        How much memory all of them may take by estimate. The version that was loaded last stays
        in any case.
    """

    def __init__(
        self,
        *,
        registry: RegistryReader,
        artifacts: ArtifactStore,
        executor: RegistryExecutor,
        limits: InstanceLimits,
        trusted_keys: Sequence[str],
        max_bytes: int,
    ) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._executor = executor
        self._limits = limits
        self._trusted_keys = trusted_keys
        self._max_bytes = max_bytes
        self._models: OrderedDict[_Key, ActiveModel] = OrderedDict()
        self._loading: dict[_Key, asyncio.Task[ActiveModel]] = {}
        self._unprepared: dict[_Key, ActiveModel] = {}
        self._refused: dict[_Key, tuple[ModelRefusedError, float]] = {}
        self._missing: set[_Key] = set()
        self._one_at_a_time = asyncio.Lock()
        self._warned_at = -_WARNED_EVERY_SEC
        self.targets: frozenset[tuple[str, int]] = frozenset()
        """Versions that an alias or a rollout names: others make room first."""
        self.n_refused: Counter[str] = Counter()
        """How many loads of each model's versions the load gate refused."""

    @property
    def is_full(self) -> bool:
        """Whether there is no room left."""
        return self._count_bytes() >= self._max_bytes

    def list_loaded(self) -> list[ActiveModel]:
        """Return what is loaded, sorted by name and version."""
        return sorted(self._models.values(), key=lambda model: (model.name, model.version))

    def find(self, model: str, version: int) -> ActiveModel | None:
        """Return a version if it is loaded, and note that it was used."""
        found = self._models.get((model, version))
        if found is not None:
            self._models.move_to_end((model, version))
        return found

    async def get(self, registered: RegisteredVersion) -> ActiveModel:
        """Return a version, loading it where it is not loaded.

        Raises
        ------
        ModelMissingError
            If its files are not there, or were not a moment ago; nothing is held against it.
        ModelRefusedError
            If it fails the load gate, or did so a moment ago.
        ArtifactStoreUnavailableError
            If its files cannot be had now.
        """
        key = (registered.model, registered.version)
        if (found := self.find(*key)) is not None:
            return found
        if key in self._refused:
            error, until = self._refused[key]
            if time.monotonic() < until:
                raise type(error)(str(error)) from error
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load(registered))
            task.add_done_callback(lambda done: self._finish_loading(key, done))
        # One caller who goes away must not take the model from the others.
        return await asyncio.shield(task)

    def is_missing(self, model: str, version: int) -> bool:
        """Whether a version's files were not there the last time."""
        return (model, version) in self._missing

    def forgive(self, model: str, version: int) -> None:
        """Let a version that was refused be tried again at once."""
        self._refused.pop((model, version), None)

    def drop(self, model: str, version: int) -> None:
        """Forget a version; requests under way keep it to their end."""
        self._models.pop((model, version), None)

    async def prepare(self) -> None:
        """Make quicker what was loaded since the last time; it answers already, and goes on to."""
        while self._unprepared:
            key, model = self._unprepared.popitem()
            if self._models.get(key) is model:
                await self._executor.run(model.prepare)

    def _finish_loading(self, key: _Key, task: asyncio.Task[ActiveModel]) -> None:
        del self._loading[key]
        if not task.cancelled():
            task.exception()  # It is told here if every caller went away.

    async def _load(self, registered: RegisteredVersion) -> ActiveModel:
        key = (registered.model, registered.version)
        log = _log.bind(model=registered.model, version=registered.version)
        try:
            async with self._one_at_a_time:
                loaded = await self._executor.run(
                    load_model, registered, self._artifacts, self._limits, self._trusted_keys
                )
        except ModelMissingError as error:
            if key not in self._missing:
                log.warning("model_files_missing", reason=str(error))
            self._missing.add(key)
            self._refused[key] = (error, time.monotonic() + _MISSING_FOR_SEC)
            raise
        except ModelRefusedError as error:
            self._missing.discard(key)
            log.error("model_refused", reason=str(error))  # noqa: TRY400 - the reason says it all
            self.n_refused[registered.model] += 1
            self._refused[key] = (error, time.monotonic() + _REFUSED_FOR_SEC)
            await self._record_refusal(registered, str(error))
            raise
        self._refused.pop(key, None)
        self._missing.discard(key)
        self._models[key] = loaded
        self._make_room(key)
        log.info("model_loaded", inline_rows=loaded.session.inline_rows)
        self._unprepared[key] = loaded
        return loaded

    async def _record_refusal(self, registered: RegisteredVersion, reason: str) -> None:
        try:
            await self._executor.run(
                self._registry.record_refusal, registered.model, registered.version, reason
            )
        except ServiceError as error:
            _log.warning("refusal_not_recorded", model=registered.model, reason=str(error))

    def _make_room(self, newest: _Key) -> None:
        if self._count_bytes() <= self._max_bytes:
            return
        self._warn_if_serving_exceed()
        # Sorting is stable, so among equals the least recently used one stays first.
        for key in sorted(self._models, key=self.targets.__contains__):
            if key != newest:
                del self._models[key]
                _log.info("model_dropped", model=key[0], version=key[1])
                if self._count_bytes() <= self._max_bytes:
                    return

    def _warn_if_serving_exceed(self) -> None:
        """Say where there is no room for all that serve: each may be loaded for each request."""
        serving = [model for key, model in self._models.items() if key in self.targets]
        if self._count_bytes(serving) <= self._max_bytes:
            return
        now = time.monotonic()
        if now - self._warned_at >= _WARNED_EVERY_SEC:
            self._warned_at = now
            _log.warning(
                "serving_models_exceed_memory",
                n_in_memory=len(serving) - 1,
                max_bytes=self._max_bytes,
                variable="ZEROSKEW_MAX_MODEL_MEMORY_BYTES",
            )

    def _count_bytes(self, models: Iterable[ActiveModel] | None = None) -> int:
        counted = self._models.values() if models is None else models
        return sum(estimate_bytes(model.manifest.model_file.size_bytes) for model in counted)
