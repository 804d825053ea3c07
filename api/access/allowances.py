"""How many requests a caller may make, counted by this process alone."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, Protocol

__all__ = [
    "DAY_SEC",
    "UNLIMITED",
    "AllowanceStore",
    "Allowances",
    "Bound",
    "Grant",
    "LocalAllowances",
]

Bound = Literal["second", "day"]

DAY_SEC: Final = 86_400
_MAX_CALLERS: Final = 10_000


class Allowances(NamedTuple):
    """What a caller may do: requests a second, and a day in UTC; ``None`` is without a bound.

    A caller that was away may make up to one second's requests at once, and always one.
    """

    per_sec: float | None
    per_day: int | None

    @property
    def burst(self) -> float:
        """How many requests may come at once."""
        assert self.per_sec is not None
        return max(1.0, self.per_sec)


UNLIMITED: Final = Allowances(None, None)


class Grant(NamedTuple):
    """What a store gave of the requests that were asked for.

    ``left_now`` and ``left_today`` are what remains after that. With ``n_granted`` 0 the bound
    that refused is named, and ``retry_sec`` says when it will give again.
    """

    n_granted: int
    left_now: int | None
    left_today: int | None
    refused_by: Bound | None = None
    retry_sec: float = 0.0


class AllowanceStore(Protocol):
    """Counts requests."""

    async def take(self, caller_id: str, allowances: Allowances, n_wanted: int) -> Grant:
        """Give a caller up to `n_wanted` requests."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class _Account:
    __slots__ = ("at", "day", "left", "used")

    def __init__(self, left: float, at: float, day: int) -> None:
        self.left, self.at, self.day, self.used = left, at, day, 0


class LocalAllowances:
    """Counts in memory.

    Parameters
    ----------
    share
        Which share of what a caller may do is this process's: all of it, or one part of as many
        as there are workers.
    now
        Seconds since 1970.
    """

    def __init__(self, *, share: float = 1.0, now: Callable[[], float] = time.time) -> None:
        self._share = share
        self._now = now
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    async def take(self, caller_id: str, allowances: Allowances, n_wanted: int) -> Grant:
        """Give a caller up to `n_wanted` requests."""
        return self.take_now(caller_id, allowances, n_wanted)

    def take_now(self, caller_id: str, allowances: Allowances, n_wanted: int) -> Grant:
        """Give a caller up to `n_wanted` requests."""
        per_sec = None if allowances.per_sec is None else allowances.per_sec * self._share
        per_day = (
            None if allowances.per_day is None else max(1, int(allowances.per_day * self._share))
        )
        now = self._now()
        account = self._find(caller_id, allowances, now)
        left_today = None if per_day is None else max(0, per_day - account.used)
        n_granted, left_now = n_wanted, None
        if per_sec is not None:
            # A clock that is set back takes nothing away.
            gained = max(0.0, now - account.at) * per_sec
            account.left = min(max(1.0, per_sec), account.left + gained)
            account.at = now
            left_now = int(account.left)
            if not left_now:
                return Grant(0, 0, left_today, "second", (1 - account.left) / per_sec)
            n_granted = min(n_granted, left_now)
        if left_today is not None:
            if not left_today:
                return Grant(0, left_now, 0, "day", DAY_SEC - now % DAY_SEC)
            n_granted = min(n_granted, left_today)
            left_today -= n_granted
        if left_now is not None:
            account.left -= n_granted
            left_now -= n_granted
        account.used += n_granted
        return Grant(n_granted, left_now, left_today)

    async def close(self) -> None:
        """Close nothing."""

    def _find(self, caller_id: str, allowances: Allowances, now: float) -> _Account:
        today = int(now // DAY_SEC)
        account = self._accounts.get(caller_id)
        if account is None:
            full = 0.0 if allowances.per_sec is None else allowances.burst * self._share
            account = self._accounts[caller_id] = _Account(max(1.0, full), now, today)
            if len(self._accounts) > _MAX_CALLERS:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(caller_id)
        # Another day, and not only a later one: the clock may have been ahead, and set right since.
        if account.day != today:
            account.day, account.used = today, 0
        return account
