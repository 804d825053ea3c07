"""Runs the registry's blocking calls beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from zeroskew.contract.errors.service import RegistryUnavailableError

__all__ = ["RegistryExecutor"]

_T = TypeVar("_T")


class RegistryExecutor:
    """Calls into the registry and the artefact store from the event loop.

    Parameters
    ----------
    executor
        Runs the calls; whoever made it shuts it down.
    failures
        What the calls raise when the database fails.
    """

    def __init__(self, executor: Executor, *, failures: tuple[type[Exception], ...]) -> None:
        self._executor = executor
        self._failures = failures

    async def run(self, call: Callable[..., _T], *arguments: object) -> _T:
        """Return ``call(*arguments)`` without blocking the event loop.

        Raises
        ------
        RegistryUnavailableError
            If the registry's database fails.
        """
        loop = asyncio.get_running_loop()
        try:
            # With the request's context, as `asyncio.to_thread` does: its id, and its caller.
            carried = partial(copy_context().run, call, *arguments)
            return await loop.run_in_executor(self._executor, carried)
        except self._failures as error:
            raise RegistryUnavailableError("The model registry cannot be read.") from error
