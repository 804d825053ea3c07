"""The time that a prediction is made for: the system's, or a fixed instant for replay."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from zeroskew.contract.time.epoch import EPOCH, to_epoch_us

__all__ = ["Clock", "FixedClock", "SystemClock", "format_instant"]


class Clock(Protocol):
    """Tells the time that features are looked up for."""

    def now(self) -> datetime:
        """Return an aware datetime in UTC."""
        ...

    def now_us(self) -> int:
        """Return the same as whole microseconds since the Unix epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)

    def now_us(self) -> int:
        """Return the current time in microseconds since the Unix epoch."""
        return time.time_ns() // 1_000


class FixedClock:
    """A clock that stands still, so that an example can live in its own past."""

    def __init__(self, instant: datetime) -> None:
        self._instant = instant.astimezone(UTC)
        self._instant_us = to_epoch_us(self._instant)

    def now(self) -> datetime:
        """Return the fixed instant in UTC."""
        return self._instant

    def now_us(self) -> int:
        """Return the fixed instant in microseconds since the Unix epoch."""
        return self._instant_us


def format_instant(epoch_sec: float) -> str | float:
    """Return seconds since the Unix epoch as RFC 3339 has them, to the microsecond.

    What is beyond the years 1 to 9999 stays a number.

    >>> format_instant(1380629820.5)
    '2013-10-01T12:17:00.500000Z'
    """
    try:
        instant = EPOCH + timedelta(microseconds=round(epoch_sec * 1_000_000))
    except OverflowError:
        return epoch_sec
    return instant.isoformat().replace("+00:00", "Z")
