"""A thread that runs one call after the other, and lets everything else go first."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

__all__ = ["NiceThread"]

_Answer = TypeVar("_Answer")
_NICENESS: Final = 19


class NiceThread:
    """Runs calls at the lowest priority; where one hangs, so does this, and nothing else.

    A process may end while a call runs, which an executor would wait for.

    Parameters
    ----------
    name
        The thread's name.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def run(self, call: Callable[..., _Answer], *args: Any) -> _Answer:
        """Return what a call returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Answer] = loop.create_future()

        def settle(set_it: Callable[[Any], None], value: Any) -> None:
            if not future.done():
                set_it(value)

        def work() -> None:
            try:
                answer = call(*args)
            except Exception as error:  # It is raised where it is awaited.
                outcome: tuple[Callable[[Any], None], Any] = (future.set_exception, error)
            else:
                outcome = (future.set_result, answer)
            with contextlib.suppress(RuntimeError):  # The loop may be closed by now.
                loop.call_soon_threadsafe(settle, *outcome)

        self._calls.put(work)
        return await future

    def stop(self) -> None:
        """End after what has been asked."""
        self._calls.put(None)

    def _run(self) -> None:
        # Linux has a priority for each thread; elsewhere it is the process's, which must stay.
        if hasattr(os, "setpriority") and os.uname().sysname == "Linux":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while (call := self._calls.get()) is not None:
            call()
