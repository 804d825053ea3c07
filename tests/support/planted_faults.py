"""Faults planted into a simulation, each as it happens in life, and what skew must call it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from training.live.simulate.arriving_rows import ArrivingRows
from zeroskew.online.sqlite.event_times import forget_event_times

__all__ = ["FAULTS", "PlantedFault"]


def forget_view(store: Any, view: str) -> None:
    """Take everything of a view out of the SQLite online store."""
    table = f"{store.project}_{view}"
    with contextlib.closing(sqlite3.connect(store.config.online_store.path)) as connection:
        connection.execute(f'DELETE FROM "{table}"')
        forget_event_times(connection, [table])
        connection.commit()


_SINCE: Final = timedelta(days=30)
"""How long before the traffic a fault began: longer than the windows."""

Change = Callable[[str, pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True)
class PlantedFault:
    """A fault of ``view``.

    ``online`` changes the rows or events that go online, ``before`` and ``after`` those of its
    ``table`` in the lake, before the traffic and once it is over. ``kind`` and ``subject`` are what
    it must be called, ``is_fault`` whether it is one.
    """

    name: str
    view: str
    kind: str
    subject: str
    online: Change | None = None
    before: Change | None = None
    after: Change | None = None
    is_fault: bool = True
    table: str | None = None

    def make_rows(self) -> type[ArrivingRows]:
        """Return the class by which rows arrive with this fault."""
        fault = self

        class FaultyRows(ArrivingRows):
            def __init__(self, store: Any, start: datetime, end: datetime) -> None:
                super().__init__(store, start, end)
                if fault.online is not None:
                    # What the first materialization has written had the fault as well.
                    forget_view(store, fault.view)
                    with contextlib.closing(ArrivingRows(store, start - _SINCE, end)) as earlier:
                        self._plant(fault.online, earlier)

            def _plant(self, change: Change, earlier: ArrivingRows) -> None:
                view = fault.view
                if view in self._events:
                    events = self._events[view] = earlier._events[view]
                    rows = events.rows = change(view, events.rows)
                    self._created[view] = rows["created"].cast(pl.Datetime("us", "UTC"))
                else:
                    rows = self._rows[view] = change(view, earlier._rows[view])
                    self._created[view] = rows["created"]

        return FaultyRows

    def rewrite(self, lake: Path, change: Change | None) -> None:
        """Change the view's table in the lake."""
        if change is None:
            return
        for file in sorted((lake / (self.table or self.view)).rglob("*.parquet")):
            change(self.view, pl.read_parquet(file, hive_partitioning=False)).write_parquet(file)


def _one_value(view: str, events: pl.DataFrame) -> pl.DataFrame:
    """Let every second event of one carrier say that a flight was late."""
    is_hit = (pl.col("key:0") == "UA") & (pl.int_range(pl.len()) % 2 == 0)
    late = pl.col("value:late")
    return events.with_columns(pl.when(is_hit).then(late.or_(late.is_not_null())).otherwise(late))


def _nothing(view: str, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.head(0)


def _four_hours_off(view: str, events: pl.DataFrame) -> pl.DataFrame:
    """Take New York's local time for UTC."""
    return events.with_columns(pl.col("event") - timedelta(hours=4) // timedelta(microseconds=1))


def _two_hours_late(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("created") + timedelta(hours=2))


def _in_kilometres(view: str, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("wind_speed_mph") * 1.609344)


FAULTS: Final = (
    PlantedFault(
        "a wrong value in the online store",
        "carrier_performance",
        "wrong values",
        "carrier_performance:carrier_late_share_7d",
        online=_one_value,
    ),
    PlantedFault(
        "a late batch",
        "route_performance",
        "late data",
        "route_performance",
        before=_two_hours_late,
        is_fault=False,
        table="flight_events",
    ),
    PlantedFault("a lost view", "origin_weather", "lost view", "origin_weather", online=_nothing),
    PlantedFault(
        "a shifted time zone",
        "origin_performance",
        "shifted time",
        "origin_performance",
        online=_four_hours_off,
    ),
    PlantedFault(
        "a changed definition",
        "origin_weather",
        "changed definition",
        "origin_weather:wind_speed_mph",
        after=_in_kilometres,
    ),
)
