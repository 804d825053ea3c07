"""Work that goes on beside the requests: begun again when it fails, told when it stands still.

Whatever runs for as long as the service does is one of these two, a task of the event loop or a
thread. Both make one turn after another. A turn that raises is made again after a pause that
grows, and one that does not end is noticed; where either lasts, the service is not ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import structlog

__all__ = ["BackgroundTask", "BackgroundThread", "BackgroundWork", "WatchedWork"]

_FIRST_PAUSE_SEC: Final = 0.05
_LONGEST_PAUSE_SEC: Final = 5.0
_FAILING_SEC: Final = 2.0
"""A turn that fails once says little; turns that fail for so long are trouble."""

_log: Final = structlog.get_logger(__name__)


class WatchedWork(Protocol):
    """Something that says how it goes on."""

    @property
    def n_failures(self) -> int:
        """How many turns have raised since the start."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why it does not go on, ``None`` while it does."""
        ...


class _Turns:
    """How the turns of one work go.

    Parameters
    ----------
    name
        What people call the work.
    patience_sec
        How long a turn may take.
    """

    def __init__(self, name: str, patience_sec: float) -> None:
        self.name = name
        self._patience_sec = patience_sec
        self._began_at: float | None = None
        self._failing_since: float | None = None
        self._reason = ""
        self.pause_sec = 0.0
        self.n_failures = 0

    def begin(self) -> None:
        """Note that a turn begins, or that one under way has come further."""
        self._began_at = time.monotonic()

    def end(self) -> None:
        """Note that a turn went well."""
        if self._failing_since is not None:
            _log.info("background_work_goes_on", work=self.name)
        self._began_at = self._failing_since = None
        self.pause_sec = 0.0

    def fail(self, error: Exception) -> None:
        """Note that a turn has raised; the next one comes after ``pause_sec``."""
        self._began_at = None
        self.n_failures += 1
        self._reason = type(error).__name__
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        self.pause_sec = min(max(_FIRST_PAUSE_SEC, 2 * self.pause_sec), _LONGEST_PAUSE_SEC)
        _log.error("background_work_failed", work=self.name, exc_info=error)

    @property
    def trouble(self) -> str | None:
        now, began_at, failing_since = time.monotonic(), self._began_at, self._failing_since
        if failing_since is not None and now - failing_since > _FAILING_SEC:
            return f"it fails again and again ({self._reason})"
        if began_at is not None and now - began_at > self._patience_sec:
            return f"it has not moved for {self._patience_sec:g} seconds"
        return None


class BackgroundTask:
    """Turns in the event loop.

    Parameters
    ----------
    name
        What people call the work.
    turn
        One turn. It catches what it knows of.
    every_sec
        How long to wait before each turn.
    patience_sec
        How long a turn may take before that is trouble.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], Awaitable[None]],
        *,
        every_sec: float,
        patience_sec: float = 60.0,
    ) -> None:
        self._turn = turn
        self._every_sec = every_sec
        self._turns = _Turns(name, patience_sec)
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def n_failures(self) -> int:
        """How many turns have raised since the start."""
        return self._turns.n_failures

    @property
    def trouble(self) -> str | None:
        """Why it does not go on, ``None`` while it does."""
        return "it has ended" if self._task.done() else self._turns.trouble

    async def close(self) -> None:
        """End, in the middle of a turn too."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(max(self._every_sec, self._turns.pause_sec))
            self._turns.begin()
            try:
                await self._turn()
            except Exception as error:  # Whatever it is, only another turn can end it.
                self._turns.fail(error)
            else:
                self._turns.end()


class BackgroundThread:
    """Turns on a thread of their own, which is a daemon: one that hangs keeps no process alive.

    Parameters
    ----------
    name
        The thread's name.
    turn
        One turn. It catches what it knows of.
    every_sec
        How long to wait before each turn, unless woken; ``None`` waits to be woken.
    patience_sec
        How long a turn may take before that is trouble.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], None],
        *,
        every_sec: float | None = None,
        patience_sec: float = 30.0,
    ) -> None:
        self._turn = turn
        self._every_sec = every_sec
        self._turns = _Turns(name, patience_sec)
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def n_failures(self) -> int:
        """How many turns have raised since the start."""
        return self._turns.n_failures

    @property
    def trouble(self) -> str | None:
        """Why it does not go on, ``None`` while it does, or where it was never needed."""
        is_dead = self._thread.ident is not None and not self._thread.is_alive()
        return "its thread has ended" if is_dead else self._turns.trouble

    @property
    def is_stopped(self) -> bool:
        """Whether there is no further turn."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Begin, where that has not been done.

        Raises
        ------
        RuntimeError
            If the system gives no thread.
        """
        if self._thread.ident is None:
            self._thread.start()

    def wake(self) -> None:
        """Have a turn made now."""
        self._woken.set()

    def note_progress(self) -> None:
        """Say in a long turn that it has come further."""
        self._turns.begin()

    def stop(self, timeout_sec: float) -> bool:
        """Make a last turn, and return whether it ended in time."""
        self._stopped.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_sec)
        return not self._thread.is_alive()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            if self._turns.pause_sec:
                self._stopped.wait(self._turns.pause_sec)
            else:
                self._woken.wait(self._every_sec)
            self._woken.clear()
            is_last = self._stopped.is_set()
            self._turns.begin()
            try:
                self._turn()
            except Exception as error:  # As in a task.
                self._turns.fail(error)
            else:
                self._turns.end()


class BackgroundWork:
    """All of it, by name.

    Some of it is vital: while that does not go on, the service is not ready.
    """

    def __init__(self) -> None:
        self._works: dict[str, WatchedWork] = {}
        self._vital: set[str] = set()

    def watch(self, name: str, work: WatchedWork, *, is_vital: bool = True) -> None:
        """Look after a work from now on."""
        self._works[name] = work
        if is_vital:
            self._vital.add(name)

    def count_failures(self) -> Mapping[str, int]:
        """Return how many turns of each work have raised since the start."""
        return {name: work.n_failures for name, work in self._works.items()}

    def list_troubles(self) -> Mapping[str, str]:
        """Return the vital works that do not go on, and why."""
        found = {name: self._works[name].trouble for name in sorted(self._vital)}
        return {name: trouble for name, trouble in found.items() if trouble is not None}
