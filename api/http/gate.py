"""How many requests are answered at a time, and what becomes of those beyond."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, Literal

import structlog
from starlette.types import Scope

from zeroskew.contract.errors.service import OverloadedError

__all__ = ["ALWAYS_ANSWERED", "BodyState", "RequestGate", "body_state"]

_log: Final = structlog.get_logger(__name__)

BodyState = Literal["arriving", "whole", "late"]

_BODY: Final = "zeroskew.body"
_COUNTED: Final = "zeroskew.counted"
ALWAYS_ANSWERED: Final = ("/livez", "/readyz", "/metrics", "/v2/health/")
"""How the addresses begin that answer however many requests are under way."""

_LOG_PAUSE_SEC: Final = 1.0
_TICK_SEC: Final = 0.01
_FEWEST: Final = 8
_SHRINK: Final = 0.7
_GROW: Final = 1.1


def body_state(scope: Scope) -> BodyState:
    """Say whether a request's body is there; a server that does not tell may still receive it."""
    state: BodyState = scope.get(_BODY, "arriving")
    return state


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
        self._n_under_way = 0
        self._was_late = False
        self._n_refused = 0
        self._longest_lag_sec = 0.0
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
                self._bound = max(_FEWEST, min(self._bound, self._n_under_way) * _SHRINK)
        elif lag_sec < self._max_lag_sec / 2:
            self._bound = min(self._max_requests, self._bound * _GROW)

    def set_body(self, scope: Any, state: BodyState) -> None:
        """Note for the application whether a request's body is there."""
        scope[_BODY] = state

    @property
    def n_under_way(self) -> int:
        """How many requests are counted now."""
        return self._n_under_way

    @property
    def bound(self) -> int:
        """How many may be."""
        return int(self._bound)

    def take_longest_lag_sec(self) -> float:
        """Return how late the event loop came round at the most since the last call."""
        longest, self._longest_lag_sec = self._longest_lag_sec, 0.0
        return longest

    @property
    def has_room(self) -> bool:
        """Whether a request may begin, whatever it asks."""
        return self._n_under_way < self._bound

    def admits(self, path: str) -> bool:
        """Tell whether a request may begin; questions about the service's health always may."""
        return self.has_room or path.startswith(ALWAYS_ANSWERED)

    def enter(self, scope: Any) -> None:
        """Count a request from now on; its context counts it no longer when it ends."""
        scope[_COUNTED] = True
        self._n_under_way += 1

    def enter_late(self, scope: Any) -> None:
        """Count a request whose body has arrived after its answer began.

        Raises
        ------
        OverloadedError
            If too many are under way.
        """
        if body_state(scope) != "arriving" or scope.get(_COUNTED):
            return
        if not self.admits(scope["path"]):
            self.note_refusal()
            raise OverloadedError
        self.enter(scope)

    def leave(self, scope: Any) -> None:
        """Count a request no longer."""
        if scope.pop(_COUNTED, False):
            self._n_under_way -= 1

    def note_refusal(self) -> None:
        """Count a refusal, and say from time to time how many there were."""
        self._n_refused += 1
        self.n_refused += 1
        now = time.monotonic()
        if now - self._logged_at >= _LOG_PAUSE_SEC:
            _log.warning(
                "requests_refused",
                n_refused=self._n_refused,
                n_under_way=self._n_under_way,
                bound=int(self._bound),
            )
            self._n_refused, self._logged_at = 0, now

    def _schedule(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._timer = loop.call_at(at, self._tick, loop, at)

    def _tick(self, loop: asyncio.AbstractEventLoop, due_at: float) -> None:
        now = loop.time()
        self._longest_lag_sec = max(self._longest_lag_sec, now - due_at)
        self.adapt(now - due_at)
        self._schedule(loop, now + _TICK_SEC)
