"""Faults planted into a simulation, each as it happens in life, and what skew must call it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
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
    with closing(sqlite3.connect(store.config.online_store.path)) as connection:
        connection.execute(f'DELETE FROM "{table}"')
        forget_event_times(connection, [table])
        connection.commit()


Change = Callable[[str, pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True)
class PlantedFault:
    """A fault of ``view``.

    ``online`` changes the rows that go online, ``table`` those of the lake once the traffic is
    over. ``kind`` and ``subject`` are what it must be called, ``is_fault`` whether it is one.
    """

    name: str
    view: str
    kind: str
    subject: str
    online: Change | None = None
    before: Change | None = None
    after: Change | None = None
    is_fault: bool = True

    def make_rows(self) -> type[ArrivingRows]:
        """Return the class by which rows arrive with this fault."""
        fault = self

        class FaultyRows(ArrivingRows):
            def __init__(self, store: Any, start: datetime, end: datetime) -> None:
                super().__init__(store, start, end)
                if fault.online is not None:
                    # What the first materialization has written had the fault as well.
                    forget_view(store, fault.view)
                    earlier = ArrivingRows(store, start - timedelta(days=2), end)
                    rows = fault.online(fault.view, earlier._rows[fault.view])
                    self._rows[fault.view] = rows
                    self._created[fault.view] = rows["created"]

        return FaultyRows

    def rewrite(self, lake: Path, change: Change | None) -> None:
        """Change the view's table in the lake."""
        if change is None:
            return
        for file in sorted((lake / self.view).rglob("*.parquet")):
            change(self.view, pl.read_parquet(file, hive_partitioning=False)).write_parquet(file)


def _one_value(view: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Let every second row of one carrier have another value."""
    is_hit = (pl.col("carrier") == "UA") & (pl.int_range(pl.len()) % 2 == 0)
    name = "carrier_late_share_7d"
    return rows.with_columns(pl.when(is_hit).then(pl.lit(0.99)).otherwise(name).alias(name))


def _nothing(view: str, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.head(0)


def _four_hours_off(view: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Take New York's local time for UTC."""
    return rows.with_columns(pl.col("event_timestamp") - timedelta(hours=4))


def _two_hours_late(view: str, rows: pl.DataFrame) -> pl.DataFrame:
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
