"""Statistics over what became known in the window that ends at each event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

__all__ = [
    "EVENT_TIMESTAMP",
    "count_over",
    "latest",
    "mean_over",
    "rolling_statistics",
    "sum_over",
    "total",
]

EVENT_TIMESTAMP = "event_timestamp"


def rolling_statistics(
    events: pl.DataFrame, *, keys: Sequence[str], statistics: Mapping[str, pl.Expr]
) -> pl.DataFrame:
    """Compute one row for each key and moment at which something became known.

    Parameters
    ----------
    events : polars.DataFrame
        One row an event: the keys, ``event_timestamp`` (the moment it became known) and
        columns of whole numbers, booleans or instants, null where the event says nothing about
        them. The order of events of the same key and moment decides which is the latest. May be
        empty.
    keys : sequence of str
        Columns that name the entity; rows with a null key are left out.
    statistics : mapping of str to polars.Expr
        Columns of the result, made by the functions of this module.

    Returns
    -------
    polars.DataFrame
        Keys, ``event_timestamp`` and statistics, sorted by time, then keys. All events of a
        moment count in that moment's row.
    """
    return (
        events.drop_nulls(keys)
        .sort(EVENT_TIMESTAMP, maintain_order=True)
        .select(
            *keys,
            EVENT_TIMESTAMP,
            *(statistic.over(keys).alias(name) for name, statistic in statistics.items()),
        )
        .unique([*keys, EVENT_TIMESTAMP], keep="last", maintain_order=True)
        .sort(EVENT_TIMESTAMP, *keys)
    )


def sum_over(value: str, window: str) -> pl.Expr:
    """Sum the known values in ``(t - window, t]``: Int64, exact, 0 where none is known."""
    return (
        pl.col(value)
        .cast(pl.Int64)
        .fill_null(0)
        .rolling_sum_by(EVENT_TIMESTAMP, window_size=window, closed="right")
    )


def count_over(value: str, window: str) -> pl.Expr:
    """Count the known values in ``(t - window, t]``: Int64."""
    return (
        pl.col(value)
        .is_not_null()
        .cast(pl.Int64)
        .rolling_sum_by(EVENT_TIMESTAMP, window_size=window, closed="right")
    )


def mean_over(value: str, window: str) -> pl.Expr:
    """Average the known values in ``(t - window, t]``: Float32, null where none is known.

    The mean of a boolean is its share. Sums are of whole numbers, so nothing drifts.
    """
    count = count_over(value, window)
    return pl.when(count > 0).then(sum_over(value, window) / count).cast(pl.Float32)


def latest(value: str) -> pl.Expr:
    """Return the last value known at ``t``, however old; null before the first."""
    return pl.col(value).forward_fill()


def total(value: str) -> pl.Expr:
    """Sum all values known up to ``t``: Int64, 0 before the first."""
    return pl.col(value).cast(pl.Int64).fill_null(0).cum_sum()
