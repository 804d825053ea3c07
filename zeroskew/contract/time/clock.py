"""The time that a prediction is made for: the system's, or a fixed instant for replay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

__all__ = ["Clock", "FixedClock", "SystemClock", "format_instant", "to_epoch_us"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Tells the time that features are looked up for."""

    def now(self) -> datetime:
        """Return an aware datetime in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)


class FixedClock:
    """A clock that stands still, so that an example can live in its own past."""

    def __init__(self, instant: datetime) -> None:
        self._instant = instant.astimezone(UTC)

    def now(self) -> datetime:
        """Return the fixed instant in UTC."""
        return self._instant


def to_epoch_us(instant: datetime) -> int:
    """Return whole microseconds since the Unix epoch of an aware datetime, without rounding.

    >>> to_epoch_us(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC))
    1000005
    """
    elapsed = instant - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


def format_instant(epoch_sec: float) -> str | float:
    """Return seconds since the Unix epoch as RFC 3339 has them, to the microsecond.

    What is beyond the years 1 to 9999 stays a number.

    >>> format_instant(1380629820.5)
    '2013-10-01T12:17:00.500000Z'
    """
    try:
        instant = _EPOCH + timedelta(microseconds=round(epoch_sec * 1_000_000))
    except OverflowError:
        return epoch_sec
    return instant.isoformat().replace("+00:00", "Z")
