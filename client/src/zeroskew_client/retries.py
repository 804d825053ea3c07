"""When a failed attempt is made again, and after how long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Final

from zeroskew_client.errors import (
    ConnectionFailedError,
    InvalidInputError,
    ProblemError,
    RequestTimeoutError,
    ZeroskewError,
)

__all__ = ["RetryPolicy", "may_pass"]

_PASSING_STATUSES: Final = frozenset({429, 502, 503, 504})
# Unavailable, but not for a moment: a stale value, an unreadable one, a refused model stay so.
_LASTING_CODES: Final = frozenset({"feature_stale", "online_value_unexpected", "model_refused"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how patiently a call is tried.

    Attributes
    ----------
    attempts
        How many at most; 1 turns retries off.
    base_sec, cap_sec
        Before retry ``n`` the pause is drawn evenly from 0 to
        ``min(cap_sec, base_sec * 2 ** (n - 1))`` seconds: full jitter, so that clients that
        failed together do not come back together.
    retry_after_cap_sec
        A ``Retry-After`` of the service is waited for besides, but at most so long.
    deadline_sec
        How long a call may take, with all attempts and pauses.

    Raises
    ------
    InvalidInputError
        If `attempts` is below 1, a time negative or not finite, or the deadline zero.
    """

    attempts: int = 3
    base_sec: float = 0.1
    cap_sec: float = 2.0
    retry_after_cap_sec: float = 10.0
    deadline_sec: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InvalidInputError(f"Got attempts={self.attempts}, but expected at least 1.")
        for name in ("base_sec", "cap_sec", "retry_after_cap_sec", "deadline_sec"):
            value = getattr(self, name)
            if not 0 <= value < math.inf or (name == "deadline_sec" and value == 0):
                raise InvalidInputError(
                    f"Got {name}={value}, but expected a finite number of seconds to wait."
                )

    def pause_sec(self, retry: int, retry_after_sec: float | None, random: Random) -> float:
        """Return the seconds to wait before a retry.

        Parameters
        ----------
        retry
            Its number, from 1 on.
        retry_after_sec
            How long the service asks to wait, `None` where it does not.
        random
            Where the jitter comes from.
        """
        # Past 64 doublings any cap is reached, and a float would overflow.
        ceiling = min(self.cap_sec, self.base_sec * 2.0 ** min(retry - 1, 64))
        asked = min(self.retry_after_cap_sec, retry_after_sec or 0.0)
        return asked + random.uniform(0.0, ceiling)


def may_pass(error: ZeroskewError) -> bool:
    """Return whether another attempt may succeed and does no harm.

    A prediction changes nothing, so a request whose fate is unknown may be sent again.

    >>> may_pass(ProblemError(503, "online_store_unavailable", "…"))
    True
    >>> may_pass(ProblemError(503, "feature_stale", "…")), may_pass(ProblemError(500, None, "…"))
    (False, False)
    """
    if isinstance(error, ProblemError):
        return error.status in _PASSING_STATUSES and error.code not in _LASTING_CODES
    return isinstance(error, ConnectionFailedError | RequestTimeoutError)
