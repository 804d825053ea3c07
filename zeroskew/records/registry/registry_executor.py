"""Runs the registry's blocking calls beside the event loop, and says what failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from zeroskew.contract.errors.service import RegistryUnavailableError
from zeroskew.records.blocking_calls import BlockingCalls

__all__ = ["RegistryExecutor"]

_T = TypeVar("_T")


class RegistryExecutor:
    """Calls into the registry's database, or into the artefact store for what it names.

    Parameters
    ----------
    calls
        Runs the calls.
    failures
        What they raise when the database fails.
    subject
        What cannot be read then.
    """

    def __init__(
        self,
        calls: BlockingCalls,
        *,
        failures: tuple[type[Exception], ...],
        subject: str = "The model registry",
    ) -> None:
        self._calls = calls
        self._failures = failures
        self._subject = subject

    async def run(self, call: Callable[..., _T], *arguments: object) -> _T:
        """Return ``call(*arguments)`` without blocking the event loop.

        Raises
        ------
        RegistryUnavailableError
            If the database fails.
        """
        try:
            return await self._calls.run(call, *arguments)
        except self._failures as error:
            raise RegistryUnavailableError(f"{self._subject} cannot be read.") from error
