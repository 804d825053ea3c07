"""Instants as whole microseconds since the Unix epoch, which no float and no zone can bend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = [
    "ALWAYS_US",
    "EPOCH",
    "FIRST_SECOND",
    "LAST_SECOND",
    "NEVER_US",
    "from_epoch_us",
    "to_epoch_us",
]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

NEVER_US: Final = -(1 << 63)
"""The event time of what never was: the least int64."""

ALWAYS_US: Final = (1 << 63) - 1
"""Until when that stands which nothing replaces: the greatest int64."""

FIRST_SECOND: Final = -62_135_596_800
"""The beginning of the year 1, with which the calendar and protobuf's timestamps begin."""

LAST_SECOND: Final = 253_402_300_799
"""The last second of the year 9999, with which they end."""


def to_epoch_us(instant: datetime) -> int:
    """Return whole microseconds since the Unix epoch, without rounding; a naive time is UTC.

    >>> to_epoch_us(datetime(1970, 1, 1, 0, 0, 1, 5))
    1000005
    """
    elapsed = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


def from_epoch_us(epoch_us: int) -> datetime:
    """Return the instant in UTC of whole microseconds since the Unix epoch.

    Raises
    ------
    OverflowError
        Beyond the years 1 to 9999.
    """
    return EPOCH + timedelta(microseconds=epoch_us)
