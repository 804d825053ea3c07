"""Spans of time that bound how many rows of a view are in memory at once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import TypeVar

from zeroskew.contract.time.epoch import EPOCH, to_epoch_us
from zeroskew.features.offline_store.parquet.parquet_source import DAY_US, ParquetTable

__all__ = ["FIRST_INSTANT", "LAST_INSTANT", "SliceLimits", "month_slices"]

End = TypeVar("End", int, int | None)


@dataclass(frozen=True, slots=True)
class SliceLimits:
    """When a table is read in slices, and how long a slice is.

    A table of at most ``max_rows`` rows is read at once, a longer one in slices of ``months``
    calendar months.
    """

    max_rows: int
    months: int

    def cut(
        self, table: ParquetTable, event_column: str, start: int | None, end: End
    ) -> Iterator[tuple[int | None, End]]:
        """Cut ``[start, end]`` into slices of event time, one where the table is read at once.

        Parameters
        ----------
        table : ParquetTable
            What is read.
        event_column : str
            Its event times.
        start, end : int or None
            Microseconds since the Unix epoch, both included; None leaves that side open.

        Yields
        ------
        tuple of int or None
            Adjacent slices that hold all rows of the span; the last ends with ``end``.
        """
        days = table.distinct_days(event_column) if table.count_rows() > self.max_rows else []
        if not days:
            yield start, end
            return
        first = days[0] * DAY_US if start is None else max(start, days[0] * DAY_US)
        last = days[-1] * DAY_US + DAY_US - 1 if end is None else end  # type: ignore[redundant-expr]  # it is for one of the two types
        if first > last:
            yield start, end
            return
        yield from month_slices(first, last, self.months, days)


FIRST_INSTANT = to_epoch_us(datetime.min.replace(tzinfo=UTC))
LAST_INSTANT = to_epoch_us(datetime.max.replace(tzinfo=UTC))
"""The ends of the calendar, the years 1 and 9999."""


def month_slices(
    start: int, end: int, months: int, days: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Cut ``[start, end]`` at the beginnings of UTC months.

    Months without rows belong to the slice after them: one row of the year 1 does not make
    twenty thousand slices.

    Parameters
    ----------
    start, end : int
        Microseconds since the Unix epoch, both included; any Int64, the years 1 to 9999 being
        the ones that are cut. Nothing is yielded if ``start > end``.
    months : int
        How many calendar months with rows one slice spans.
    days : sequence of int
        The days since the Unix epoch that have rows, ascending.

    Yields
    ------
    tuple of int
        Adjacent slices that together are ``[start, end]``.

    Examples
    --------
    >>> june, july = (to_epoch_us(datetime(2013, month, 1)) for month in (6, 7))
    >>> days = [june // DAY_US, july // DAY_US]
    >>> list(month_slices(june, july, 1, days)) == [(june, july - 1), (july, july)]
    True
    >>> list(month_slices(june, july, 1, days[1:])) == [(june, july)]
    True
    """
    while start <= end:
        place = bisect_left(days, start // DAY_US)
        occupied = max(start, days[place] * DAY_US) if place < len(days) else end
        following = _month_after(occupied, months)
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
    return to_epoch_us(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC))
