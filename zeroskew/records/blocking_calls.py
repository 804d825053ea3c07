"""Runs calls that block beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

__all__ = ["BlockingCalls"]

_T = TypeVar("_T")


class BlockingCalls:
    """Calls databases and files from the event loop; what they raise is the caller's.

    Parameters
    ----------
    executor
        Runs the calls; whoever made it shuts it down.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def run(self, call: Callable[..., _T], *arguments: object) -> _T:
        """Return ``call(*arguments)`` without blocking the event loop."""
        # With the request's context, as `asyncio.to_thread` does: its log lines have its id.
        carried = partial(copy_context().run, call, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._executor, carried)
