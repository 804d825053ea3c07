"""Builders of tiny source tables, row by row as in the published CSV files."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import polars as pl
from pipelines.source_tables import SourceTables

Row = dict[str, Any]

AIRPORTS: tuple[Row, ...] = tuple(
    {"faa": faa, "lat": lat, "lon": lon, "tzone": zone}
    for faa, lat, lon, zone in (
        ("EWR", 40.6925, -74.168667, "America/New_York"),
        ("ATL", 33.636719, -84.428067, "America/New_York"),
        ("IAH", 29.984433, -95.341442, "America/Chicago"),
        ("LAX", 33.942536, -118.408075, "America/Los_Angeles"),
        ("PHX", 33.434278, -112.011583, "America/Phoenix"),
        ("HNL", 21.318681, -157.922428, "Pacific/Honolulu"),
    )
)


def _add_minutes(hhmm: int, minutes: int) -> int:
    """Add minutes to a clock time; midnight reads 2400, as in the published table."""
    total = (hhmm // 100 * 60 + hhmm % 100 + minutes) % 1440
    return 2400 if total == 0 else total // 60 * 100 + total % 60


def flight(
    day: str = "2013-06-14",
    *,
    departs: int = 1000,
    arrives: int = 1230,
    dep_delay: int | None = 0,
    arr_delay: int | None = 0,
    **columns: Any,
) -> Row:
    """Return a flight; clock times are local HHMM. Without ``dep_delay`` it is cancelled.

    ``dep_time`` follows from the schedule and the delay, unless given.
    """
    year, month, day_of_month = (int(part) for part in day.split("-"))
    cancelled = dep_delay is None
    return {
        "year": year,
        "month": month,
        "day": day_of_month,
        "sched_dep_time": departs,
        "dep_time": None if dep_delay is None else _add_minutes(departs, dep_delay),
        "dep_delay": dep_delay,
        "sched_arr_time": arrives,
        "arr_delay": None if cancelled else arr_delay,
        "carrier": "UA",
        "flight": 1545,
        "tailnum": "N14228",
        "origin": "EWR",
        "dest": "ATL",
        "air_time": None if cancelled or arr_delay is None else 100,
        "distance": 746,
        **columns,
    }


def weather_hour(time_hour: str = "2013-06-14T14:00:00Z", **columns: Any) -> Row:
    """Return an hour's weather at Newark."""
    return {
        "origin": "EWR",
        "time_hour": time_hour,
        "temp": 70.5,
        "dewp": 60.0,
        "humid": 65.0,
        "wind_dir": 270,
        "wind_speed": 8.0,
        "wind_gust": None,
        "precip": 0.0,
        "pressure": 1015.5,
        "visib": 10.0,
        **columns,
    }


def plane(tailnum: str = "N14228", **columns: Any) -> Row:
    """Return a plane of the register."""
    return {
        "tailnum": tailnum,
        "year": 1999,
        "manufacturer": "BOEING",
        "seats": 149,
        **columns,
    }


def source_tables(
    flights: Sequence[Row] = (flight(),),
    *,
    weather: Sequence[Row] = (weather_hour(),),
    planes: Sequence[Row] = (plane(),),
    airports: Sequence[Row] = AIRPORTS,
    batch: str = "tiny",
) -> SourceTables:
    """Return the four tables of a batch, each of at least one row."""
    return SourceTables(
        batch=batch,
        flights=as_text(flights),
        weather=as_text(weather),
        planes=as_text(planes),
        airports=as_text(airports),
    )


def as_text(rows: Sequence[Row]) -> pl.DataFrame:
    """Return rows as they are read from a CSV file: text, or null."""
    return pl.DataFrame(
        [
            {name: None if value is None else str(value) for name, value in row.items()}
            for row in rows
        ],
        schema=dict.fromkeys(rows[0], pl.String),
    )


@functools.cache
def zones() -> dict[str, str]:
    """Return the zones of `AIRPORTS` and of the islands that the airport table lacks."""
    from pipelines.flight_times import airport_zones  # Imports pandera, which takes seconds.

    return airport_zones(pl.DataFrame(AIRPORTS))
