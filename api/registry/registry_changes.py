"""The registry for those few requests that change it: opened when the first of them comes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from api.models.active_models import ActiveModels
from zeroskew.contract.errors.service import RegistryUnavailableError
from zeroskew.records.blocking_calls import BlockingCalls

if TYPE_CHECKING:
    from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = ["RegistryChanges"]

_Answer = TypeVar("_Answer")


class RegistryChanges:
    """Runs calls on a `ModelRegistry`, whose SQLAlchemy a service that only answers does without.

    Parameters
    ----------
    url
        The database, as a SQLAlchemy URL.
    busy_timeout_sec
        How long a call waits for a lock of SQLite that another process holds.
    calls
        Runs the calls beside the event loop.
    models
        Serve what was changed.
    """

    def __init__(
        self, url: str, *, busy_timeout_sec: float, calls: BlockingCalls, models: ActiveModels
    ) -> None:
        self._url = url
        self._busy_timeout_sec = busy_timeout_sec
        self._calls = calls
        self._models = models
        self._lock = threading.Lock()
        self._registry: ModelRegistry | None = None

    async def make(self, change: Callable[[ModelRegistry], _Answer]) -> _Answer:
        """Return what `change` returns for the registry, when it is served here.

        Raises
        ------
        RegistryUnavailableError
            If the database fails.
        """
        answer = await self.read(change)
        await self._models.catch_up()
        return answer

    async def read(self, call: Callable[[ModelRegistry], _Answer]) -> _Answer:
        """Return what `call` returns for the registry.

        Raises
        ------
        RegistryUnavailableError
            If the database fails.
        """
        return await self._calls.run(self._run, call)

    def close(self) -> None:
        """Close every connection."""
        if self._registry is not None:
            self._registry.close()

    def _run(self, call: Callable[[ModelRegistry], _Answer]) -> _Answer:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return call(self._open())
        except SQLAlchemyError as error:
            raise RegistryUnavailableError("The model registry cannot be used.") from error

    def _open(self) -> ModelRegistry:
        from zeroskew.records.registry.model_registry import ModelRegistry

        with self._lock:
            if self._registry is None:
                self._registry = ModelRegistry.open(
                    self._url, busy_timeout_sec=self._busy_timeout_sec
                )
            return self._registry
