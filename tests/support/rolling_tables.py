"""An oracle: the statistics of flights as tables of rows, by the rolling sums of polars.

Until the example declared its windows, its pipelines computed them so: a row for each moment at
which something became known. Nothing but tests reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import polars as pl

__all__ = [
    "STATISTICS",
    "count_over",
    "latest",
    "mean_over",
    "rolling_statistics",
    "rolling_tables",
    "total",
]

EVENT_TIMESTAMP: Final = "event_timestamp"


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


STATISTICS: Final = {
    "carrier_performance": (
        ["carrier"],
        {
            "carrier_departure_delay_mean_3h": mean_over("departure_delay", "3h"),
            "carrier_arrival_delay_mean_3h": mean_over("arrival_delay", "3h"),
            "carrier_arrival_delay_mean_24h": mean_over("arrival_delay", "24h"),
            "carrier_late_share_7d": mean_over("late", "7d"),
            "carrier_cancelled_share_24h": mean_over("cancelled", "24h"),
        },
    ),
    "origin_performance": (
        ["origin"],
        {
            "origin_departure_delay_mean_1h": mean_over("departure_delay", "1h"),
            "origin_departures_1h": count_over("departure_delay", "1h"),
            "origin_overdue_departures": total("overdue"),
            "origin_arrival_delay_mean_3h": mean_over("arrival_delay", "3h"),
            "origin_late_share_24h": mean_over("late", "24h"),
            "origin_cancelled_share_24h": mean_over("cancelled", "24h"),
        },
    ),
    "station_performance": (
        ["carrier", "origin"],
        {
            "station_departure_delay_mean_3h": mean_over("departure_delay", "3h"),
            "station_late_share_24h": mean_over("late", "24h"),
            "station_overdue_departures": total("overdue"),
        },
    ),
    "destination_performance": (
        ["dest"],
        {
            "dest_arrival_delay_mean_3h": mean_over("arrival_delay", "3h"),
            "dest_arrival_delay_mean_24h": mean_over("arrival_delay", "24h"),
            "dest_late_share_7d": mean_over("late", "7d"),
        },
    ),
    "route_performance": (
        ["origin", "dest"],
        {
            "route_arrival_delay_mean_7d": mean_over("arrival_delay", "7d"),
            "route_late_share_28d": mean_over("late", "28d"),
            "route_arrivals_28d": count_over("arrival_delay", "28d"),
            "route_distance_miles": latest("distance"),
        },
    ),
    "plane_performance": (
        ["tailnum"],
        {
            "plane_last_departure_delay": latest("departure_delay"),
            "plane_last_arrival_delay": latest("arrival_delay"),
            "plane_last_arrived_at": latest("arrived_at"),
            "plane_arrival_delay_mean_7d": mean_over("arrival_delay", "7d"),
        },
    ),
}
"""The join keys of each table, and its columns."""


def rolling_tables(events: pl.DataFrame) -> Iterator[tuple[str, list[str], pl.DataFrame]]:
    """Yield the name, the keys and the rows of each table, from the table of events.

    A table has rows at the moments of its own events alone: of destinations and routes at
    outcomes, of carriers and planes not where a flight becomes overdue. Of events of one moment
    that disagree about the latest value the greatest is it, as in a window.
    """
    columns = ["departure_delay", "arrival_delay", "arrived_at", "distance"]
    events = events.sort(EVENT_TIMESTAMP, *columns, nulls_last=False)
    is_outcome, is_waiting = pl.col("cancelled").is_not_null(), pl.col("overdue").is_not_null()
    own = {
        "destination_performance": events.filter(is_outcome),
        "route_performance": events.filter(is_outcome),
        "carrier_performance": events.filter(~is_waiting),
        "plane_performance": events.filter(~is_waiting),
    }
    for name, (keys, statistics) in STATISTICS.items():
        yield (
            name,
            keys,
            rolling_statistics(own.get(name, events), keys=keys, statistics=statistics),
        )
