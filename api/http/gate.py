"""How many requests are answered at a time, and what becomes of those beyond."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Literal

import structlog

from zeroskew.contract.errors.service import OverloadedError

__all__ = ["ALWAYS_ANSWERED", "BodyState", "Place", "RequestGate"]

_log: Final = structlog.get_logger(__name__)

BodyState = Literal["arriving", "whole", "late"]

ALWAYS_ANSWERED: Final = ("/livez", "/readyz", "/metrics", "/v2/health/")
"""How the addresses begin that answer however many requests are under way."""

_LOG_PAUSE_SEC: Final = 1.0
_TICK_SEC: Final = 0.01
_WINDOW_SEC: Final = 1.0
_FEWEST: Final = 8
_SHRINK: Final = 0.7
_GROW: Final = 1.1


class Place:
    """A request's place at the gate: taken once at most, and given back once.

    Parameters
    ----------
    gate
        Counts the places that are taken.
    body
        How much of the request is there. The place of one whose body is ``whole`` is taken from
        the start; one whose body is ``late`` is about to be refused, and takes none.
    """

    __slots__ = ("_gate", "_is_taken", "body")

    def __init__(self, gate: RequestGate, body: BodyState) -> None:
        self.body = body
        self._gate = gate
        self._is_taken = False
        if body == "whole":
            self._take()

    def take_late(self, path: str) -> None:
        """Take the place of a request whose body has arrived after its answer began.

        Raises
        ------
        OverloadedError
            If too many are under way.
        """
        if self.body != "arriving" or self._is_taken:
            return
        if not self._gate.admits(path):
            self._gate.note_refusal()
            raise OverloadedError
        self._take()

    def leave(self) -> None:
        """Give the place back, if it is taken."""
        if self._is_taken:
            self._is_taken = False
            self._gate.n_under_way -= 1

    def _take(self) -> None:
        self._is_taken = True
        self._gate.n_under_way += 1


class RequestGate:
    """Counts the requests whose bodies are there and whose answers are not, and bounds them.

    A request that is still arriving costs memory and no time, so it does not count: clients that
    drip their bodies keep nobody out.

    How many the process can answer at a time depends on what they ask. The sign of too many is
    an event loop that comes round late time after time: then every answer is late, and every
    refusal too. Once may be another program's doing. So the bound shrinks by a factor while
    the loop is late, and grows again while it is not (as a network's sender adapts to
    congestion: Chiu and Jain, 1989).

    Parameters
    ----------
    max_requests
        The largest bound, and the first.
    max_lag_sec
        How late the event loop may be.
    """

    def __init__(self, *, max_requests: int, max_lag_sec: float) -> None:
        self._max_requests = max_requests
        self._max_lag_sec = max_lag_sec
        self._bound = float(max_requests)
        self.n_under_way = 0
        """How many requests are counted now; `Place` counts them."""
        self._was_late = False
        self._n_refused = 0
        # The longest of the window that is over, and of the present one.
        self._lags_sec = (0.0, 0.0)
        self._window_ends_at = 0.0
        self.n_refused = 0
        """How many requests were refused since the start."""
        self._logged_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Watch the running event loop from now on."""
        loop = asyncio.get_running_loop()
        self._schedule(loop, loop.time() + _TICK_SEC)

    def close(self) -> None:
        """Watch it no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def adapt(self, lag_sec: float) -> None:
        """Shrink or grow the bound, by how late the event loop came round."""
        was_late, self._was_late = self._was_late, lag_sec > self._max_lag_sec
        if self._was_late:
            if was_late:
                shrunk = max(_FEWEST, min(self._bound, self.n_under_way) * _SHRINK)
                self._bound = min(self._bound, shrunk)
        elif lag_sec < self._max_lag_sec / 2:
            self._bound = min(self._max_requests, self._bound * _GROW)

    @property
    def bound(self) -> int:
        """How many may be."""
        return int(self._bound)

    @property
    def longest_lag_sec(self) -> float:
        """How late the event loop came round at the most, within the last second or two."""
        return max(self._lags_sec)

    @property
    def has_room(self) -> bool:
        """Whether a request may begin, whatever it asks."""
        return self.n_under_way < self._bound

    def admits(self, path: str) -> bool:
        """Tell whether a request may begin; questions about the service's health always may."""
        return self.has_room or path.startswith(ALWAYS_ANSWERED)

    def enter(self, path: str) -> Place | None:
        """Return the place of a request that is there as a whole, ``None`` where it is refused."""
        if self.admits(path):
            return Place(self, "whole")
        self.note_refusal()
        return None

    def note_refusal(self) -> None:
        """Count a refusal, and say from time to time how many there were."""
        self._n_refused += 1
        self.n_refused += 1
        now = time.monotonic()
        if now - self._logged_at >= _LOG_PAUSE_SEC:
            _log.warning(
                "requests_refused",
                n_refused=self._n_refused,
                n_under_way=self.n_under_way,
                bound=self.bound,
            )
            self._n_refused, self._logged_at = 0, now

    def _schedule(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._timer = loop.call_at(at, self._tick, loop, at)

    def _tick(self, loop: asyncio.AbstractEventLoop, due_at: float) -> None:
        now = loop.time()
        before, present = self._lags_sec
        if now >= self._window_ends_at:
            before, present, self._window_ends_at = present, 0.0, now + _WINDOW_SEC
        self._lags_sec = (before, max(present, now - due_at))
        self.adapt(now - due_at)
        self._schedule(loop, now + _TICK_SEC)
