"""Spans of time that bound how many rows of a view are in memory at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta

from training.offline_store.parquet_source import ParquetTable

__all__ = [
    "EPOCH",
    "FIRST_INSTANT",
    "LAST_INSTANT",
    "SliceLimits",
    "TimeSlice",
    "month_slices",
    "to_epoch_microseconds",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TimeSlice = tuple[int, int]
"""First and last microsecond since the Unix epoch, both included."""


@dataclass(frozen=True, slots=True)
class SliceLimits:
    """When a table is read in slices, and how long a slice is.

    A table of at most ``max_rows`` rows is read at once, a longer one in slices of ``months``
    calendar months.
    """

    max_rows: int
    months: int

    def bounds_to_cut(self, table: ParquetTable, event_column: str) -> TimeSlice | None:
        """Return the event times that a long table spans, None where it is read at once."""
        return table.time_bounds(event_column) if table.count_rows() > self.max_rows else None


def to_epoch_microseconds(instant: datetime) -> int:
    """Count microseconds since the Unix epoch; a naive datetime is UTC."""
    aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)


FIRST_INSTANT = to_epoch_microseconds(datetime.min.replace(tzinfo=UTC))
LAST_INSTANT = to_epoch_microseconds(datetime.max.replace(tzinfo=UTC))
"""The ends of the calendar, the years 1 and 9999."""


def month_slices(start: int, end: int, months: int) -> Iterator[TimeSlice]:
    """Cut ``[start, end]`` at the beginnings of UTC months.

    Parameters
    ----------
    start, end : int
        Microseconds since the Unix epoch, both included; any Int64, the years 1 to 9999 being
        the ones that are cut. Nothing is yielded if ``start > end``.
    months : int
        How many calendar months one slice spans.

    Yields
    ------
    tuple of int
        Adjacent slices that together are ``[start, end]``.

    Examples
    --------
    >>> june, july = (to_epoch_microseconds(datetime(2013, month, 1)) for month in (6, 7))
    >>> list(month_slices(june, july, 1)) == [(june, july - 1), (july, july)]
    True
    """
    while start <= end:
        following = _month_after(start, months)
        last = end if following is None else min(end, following - 1)
        yield start, last
        start = last + 1


def _month_after(instant: int, months: int) -> int | None:
    """Return where the slice after ``instant`` begins; None beyond the calendar's last year."""
    if instant > LAST_INSTANT:
        return None
    moment = EPOCH + timedelta(microseconds=max(instant, FIRST_INSTANT))
    month = moment.year * 12 + moment.month - 1 + months
    if month // 12 > MAXYEAR:
        return None
    return to_epoch_microseconds(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC))
