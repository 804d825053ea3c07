"""Counts each caller's requests, and refuses those that are too many."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final, Literal

import structlog

from api.access.allowances import (
    DAY_SEC,
    UNLIMITED,
    Allowances,
    AllowanceStore,
    Grant,
    LocalAllowances,
)
from api.access.caller import Caller
from zeroskew.contract.errors.access import LimitsUnavailableError, RateLimitedError

__all__ = ["RequestLimits"]

WhenDown = Literal["local", "refuse", "allow"]

_RETRY_STORE_SEC: Final = 1.0
_GRANTS_PER_SEC: Final = 20
_MAX_GRANT: Final = 100
_GRANT_LIVES_SEC: Final = 1.0
_MAX_CALLERS: Final = 10_000
_log: Final = structlog.get_logger(__name__)


class _CallerAccount:
    """What one process may still do for one caller."""

    def __init__(self, allowances: Allowances) -> None:
        self.allowances = allowances
        self.n_left = 0
        self.size = 1
        self.granted_at = 0.0
        self.granted_on = 0
        self.last = Grant(0, None, None)
        self.refused_until = 0.0
        self.refused_on: int | None = None
        self.n_waiting = 0
        self.renewing = asyncio.Lock()
        self.policy = _describe_policy(allowances)

    def is_live(self, now: float, today: int) -> bool:
        """Whether what was granted may still be used: a day's for the day, a second's for one."""
        if self.allowances.per_sec is None:
            return self.granted_on == today
        return now - self.granted_at < _GRANT_LIVES_SEC

    def is_refused(self, now: float, today: int) -> bool:
        """Whether the store need not be asked yet; a day's refusal ends with the day."""
        return self.refused_until > now and self.refused_on in (None, today)

    def choose_size(self, now: float) -> int:
        """Return how many requests to ask for: more where the last ones went fast."""
        allowances = self.allowances
        per_sec = _MAX_GRANT if allowances.per_sec is None else allowances.per_sec
        bound = max(1, min(int(per_sec / _GRANTS_PER_SEC), _MAX_GRANT))
        is_busy = now - self.granted_at < 1 / _GRANTS_PER_SEC
        self.size = min(2 * self.size if is_busy else max(1, self.size // 2), bound)
        return max(self.size, min(self.n_waiting, bound))


class RequestLimits:
    """Holds callers to their limits over all processes that count in the same store.

    A process takes a caller's requests from the store in small lots, a twentieth of a second's
    at most, so that most requests wait for nothing, and forgets what it did not use within a
    second: together the processes never let more through than the limit.

    Parameters
    ----------
    store
        Counts for all processes.
    default
        The limits of callers without their own.
    when_down
        What happens while the store is down: ``local`` counts by process, ``refuse`` lets
        nobody through, ``allow`` everybody.
    share
        Which share of a limit is this process's when it counts alone.
    now
        Seconds since 1970.
    """

    def __init__(
        self,
        store: AllowanceStore,
        *,
        default: Allowances = UNLIMITED,
        when_down: WhenDown = "local",
        share: float = 1.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._now = now
        self._default = default
        self.limits_everybody = default != UNLIMITED
        """Whether callers without limits of their own have some."""
        self._when_down = when_down
        self._local = LocalAllowances(share=share, now=now)
        self._accounts: OrderedDict[str, _CallerAccount] = OrderedDict()
        self._down_until = 0.0
        self.n_limited: Counter[str] = Counter()
        """How many requests were refused by each bound, ``second`` and ``day``."""

    @property
    def is_store_down(self) -> bool:
        """Whether the store did not answer the last time."""
        return self._down_until > 0

    async def admit(self, caller: Caller) -> dict[str, str]:
        """Count a request, and return headers that say how many more may come.

        Raises
        ------
        RateLimitedError
            If it is one too many.
        LimitsUnavailableError
            If the store is down and nobody is let through then.
        """
        allowances = Allowances(
            self._default.per_sec if caller.requests_per_sec is None else caller.requests_per_sec,
            self._default.per_day if caller.requests_per_day is None else caller.requests_per_day,
        )
        if allowances == UNLIMITED:
            return {}
        account = self._find(caller.id, allowances)
        while True:
            now = time.monotonic()
            if account.n_left and account.is_live(now, self._today()):
                account.n_left -= 1
                return _describe(account)
            if account.is_refused(now, self._today()):
                self.n_limited[account.last.refused_by or ""] += 1
                raise _refuse(account, account.refused_until - now)
            if not await self._renew(caller.id, account):
                return {}

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()

    def _today(self) -> int:
        return int(self._now() // DAY_SEC)

    def _find(self, caller_id: str, allowances: Allowances) -> _CallerAccount:
        account = self._accounts.get(caller_id)
        if account is None or account.allowances != allowances:
            account = self._accounts[caller_id] = _CallerAccount(allowances)
            if len(self._accounts) > _MAX_CALLERS:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(caller_id)
        return account

    async def _renew(self, caller_id: str, account: _CallerAccount) -> bool:
        """Get another lot, once for all who wait; return whether requests are counted at all."""
        before = account.granted_at
        account.n_waiting += 1
        try:
            async with account.renewing:
                now = time.monotonic()
                if account.granted_at != before or account.is_refused(now, self._today()):
                    return True
                grant = await self._take(caller_id, account, account.choose_size(now))
        finally:
            account.n_waiting -= 1
        if grant is None:
            return False
        now = time.monotonic()
        account.last = grant
        if grant.n_granted:
            account.n_left, account.granted_at = grant.n_granted, now
            account.granted_on = self._today()
        else:
            # What this process alone refuses, it refuses until the store can be asked again.
            is_down = self._down_until > now
            wait_sec = min(grant.retry_sec, _RETRY_STORE_SEC) if is_down else grant.retry_sec
            account.refused_until = now + wait_sec
            # A clock that is set right begins another day, whenever the wrong one would have.
            account.refused_on = self._today() if grant.refused_by == "day" else None
        return True

    async def _take(self, caller_id: str, account: _CallerAccount, n_wanted: int) -> Grant | None:
        if time.monotonic() >= self._down_until:
            try:
                grant = await self._store.take(caller_id, account.allowances, n_wanted)
            except LimitsUnavailableError as error:
                reason = f"{error} ({type(error.__cause__).__name__})"
                _log.warning("limits_unavailable", when_down=self._when_down, reason=reason)
                self._down_until = time.monotonic() + _RETRY_STORE_SEC
            else:
                self._down_until = 0.0
                return grant
        if self._when_down == "refuse":
            raise LimitsUnavailableError("Requests cannot be counted, and nobody is let through.")
        if self._when_down == "allow":
            return None
        return self._local.take_now(caller_id, account.allowances, n_wanted)


def _refuse(account: _CallerAccount, wait_sec: float) -> RateLimitedError:
    allowances = account.allowances
    if account.last.refused_by == "day":
        bound = f"{allowances.per_day} requests a day, in UTC"
    else:
        bound = f"{allowances.per_sec:g} requests a second"
    return RateLimitedError(
        f"Got more requests than this key's {bound}.",
        {"Retry-After": str(max(1, math.ceil(wait_sec))), **_describe(account)},
    )


def _describe_policy(allowances: Allowances) -> str:
    parts = []
    if allowances.per_sec is not None:
        window = max(1, round(1 / allowances.per_sec))
        parts.append(f'"second";q={int(allowances.burst)};w={window}')
    if allowances.per_day is not None:
        parts.append(f'"day";q={allowances.per_day};w={DAY_SEC}')
    return ", ".join(parts)


def _describe(account: _CallerAccount) -> dict[str, str]:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers."""
    allowances, last = account.allowances, account.last
    parts = []
    if allowances.per_sec is not None:
        left = (last.left_now or 0) + account.n_left
        parts.append(f'"second";r={left};t={max(1, round(1 / allowances.per_sec))}')
    if allowances.per_day is not None:
        left = (last.left_today or 0) + account.n_left
        parts.append(f'"day";r={left};t={int(DAY_SEC - time.time() % DAY_SEC)}')
    return {"RateLimit-Policy": account.policy, "RateLimit": ", ".join(parts)}
