"""The tables behind the feature views, one of events among them, and the labels."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from pipelines.lake import CREATED, EVENT_TIMESTAMP

__all__ = [
    "FLIGHT_LAG",
    "ISLAND_POSITIONS",
    "LATE_MINUTES",
    "LEAD_TIME",
    "REGISTERS_KNOWN_AT",
    "WEATHER_LAG",
    "WEATHER_PERIOD",
    "build_arrival_labels",
    "build_feature_tables",
    "build_flight_events",
]

LATE_MINUTES: Final = 15
LEAD_TIME: Final = timedelta(hours=2)
"""How long before the scheduled departure a prediction is made."""

FLIGHT_LAG: Final = timedelta(minutes=5)
"""From an event of a flight until its row is in the table."""

WEATHER_PERIOD: Final = timedelta(hours=1)
"""A reading stands for an hour; it counts as known when that hour is over."""

WEATHER_LAG: Final = timedelta(minutes=5)
"""From the end of that hour until the row is in the table."""

REGISTERS_KNOWN_AT: Final = datetime(2013, 1, 1, tzinfo=UTC)
"""The registers of planes and airports have no dates; they count as known before any flight."""

ISLAND_POSITIONS: Final = {
    "BQN": (18.494861, -67.129444),
    "PSE": (18.008303, -66.563028),
    "SJU": (18.439417, -66.001833),
    "STT": (18.337306, -64.973361),
}
"""Latitude and longitude of the destinations that the airport table lacks."""

_MAKERS: Final = (
    "AIRBUS",
    "BOEING",
    "BOMBARDIER",
    "CANADAIR",
    "EMBRAER",
    "MCDONNELL DOUGLAS",
)
_FLIGHT_KEYS = ["carrier", "origin", "dest", "tailnum"]


def build_flight_events(flights: pl.DataFrame) -> pl.DataFrame:
    """Return what became known of flights, one row for each departure, outcome and overdue flight.

    Parameters
    ----------
    flights : polars.DataFrame
        Flights with their times, as `pipelines.flight_times.add_flight_times` makes them.

    Returns
    -------
    polars.DataFrame
        ``carrier``, ``origin``, ``dest``, ``tailnum``; ``departure_delay`` of a departure;
        ``arrival_delay``, ``late``, ``cancelled``, ``distance`` and ``arrived_at`` of an outcome;
        ``overdue`` of a flight that waits to leave, or no longer does. What a row says nothing
        about is null. ``event_timestamp`` is the moment at which it became known, ``created``
        when it is in the table. Sorted by time.
    """
    kinds = (_departure_events(flights), _outcome_events(flights), _overdue_events(flights))
    return (
        pl.concat(kinds, how="diagonal")
        .with_columns((pl.col(EVENT_TIMESTAMP) + FLIGHT_LAG).alias(CREATED))
        .sort(EVENT_TIMESTAMP, *_FLIGHT_KEYS, nulls_last=True, maintain_order=True)
    )


def _departure_events(flights: pl.DataFrame) -> pl.DataFrame:
    """Return one event for each actual departure, with ``departure_delay`` in minutes."""
    return flights.filter(pl.col("departed_at").is_not_null()).select(
        *_FLIGHT_KEYS,
        pl.col("departed_at").alias(EVENT_TIMESTAMP),
        pl.col("dep_delay").alias("departure_delay"),
    )


def _outcome_events(flights: pl.DataFrame) -> pl.DataFrame:
    """Return one event for each flight's outcome, at the moment it became known.

    ``arrival_delay`` is in minutes; it and ``late`` are null for a cancelled or diverted flight.
    """
    return flights.select(
        *_FLIGHT_KEYS,
        pl.col("outcome_known_at").alias(EVENT_TIMESTAMP),
        pl.col("arr_delay").alias("arrival_delay"),
        (pl.col("arr_delay") >= LATE_MINUTES).alias("late"),
        "cancelled",
        "distance",
        "arrived_at",
    )


def _overdue_events(flights: pl.DataFrame) -> pl.DataFrame:
    """Return ``overdue`` +1 when a flight has not left 15 minutes late, -1 when it does.

    A flight that is cancelled stays overdue until its outcome is known. Of destination and plane
    it says nothing: to wait is no news of them, and keeps none of their statistics alive.
    """
    overdue_at = pl.col("scheduled_departure") + pl.duration(minutes=LATE_MINUTES)
    resolved_at = pl.coalesce("departed_at", "outcome_known_at")
    overdue = flights.filter(resolved_at > overdue_at)
    return pl.concat(
        overdue.select(
            "carrier", "origin", moment.alias(EVENT_TIMESTAMP), overdue=pl.lit(change, pl.Int64)
        )
        for moment, change in ((overdue_at, 1), (resolved_at, -1))
    )


def build_feature_tables(
    flights: pl.DataFrame, weather: pl.DataFrame, planes: pl.DataFrame, airports: pl.DataFrame
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield each feature table by its name.

    Parameters
    ----------
    flights : polars.DataFrame
        Sound flights with their times.
    weather, planes, airports : polars.DataFrame
        Sound rows of the source tables.

    Yields
    ------
    tuple of str and polars.DataFrame
        Keys, values, ``event_timestamp`` and ``created``, sorted by time and keys.
    """
    yield "flight_events", build_flight_events(flights)
    yield "origin_weather", _build_weather(weather)
    yield "plane_register", _build_plane_register(planes)
    positions = _airport_positions(airports)
    for key, name in (("origin", "origin_airport"), ("dest", "destination_airport")):
        yield name, _build_airport(positions, flights[key], key)


def _build_weather(weather: pl.DataFrame) -> pl.DataFrame:
    hour = pl.col("time_hour").str.to_datetime(
        "%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC"
    )
    measures = {
        "temp": "temperature_fahrenheit",
        "dewp": "dew_point_fahrenheit",
        "humid": "humidity_percent",
        "wind_dir": "wind_direction_degrees",
        "wind_speed": "wind_speed_mph",
        "wind_gust": "wind_gust_mph",
        "precip": "precipitation_inches",
        "pressure": "pressure_millibars",
        "visib": "visibility_miles",
    }
    return weather.select(
        "origin",
        *(pl.col(raw).cast(pl.Float32).alias(name) for raw, name in measures.items()),
        (hour + WEATHER_PERIOD).alias(EVENT_TIMESTAMP),
        (hour + WEATHER_PERIOD + WEATHER_LAG).alias(CREATED),
    ).sort(EVENT_TIMESTAMP, "origin")


def _build_plane_register(planes: pl.DataFrame) -> pl.DataFrame:
    known_at = pl.lit(REGISTERS_KNOWN_AT, pl.Datetime("us", "UTC"))
    return planes.select(
        "tailnum",
        pl.col("year").alias("plane_year_built"),
        pl.col("seats").alias("plane_seats"),
        _maker(pl.col("manufacturer")).alias("plane_manufacturer"),
        known_at.alias(EVENT_TIMESTAMP),
        known_at.alias(CREATED),
    ).sort("tailnum")


def _maker(manufacturer: pl.Expr) -> pl.Expr:
    """Map the register's spellings to a maker; small ones are ``other``, missing stays null."""
    maker: pl.Expr = pl.lit("other")
    for name in _MAKERS:
        starts = manufacturer.str.starts_with(name)
        maker = pl.when(starts).then(pl.lit(name.lower())).otherwise(maker)
    return pl.when(manufacturer.is_not_null()).then(maker)


def _airport_positions(airports: pl.DataFrame) -> pl.DataFrame:
    """Return ``faa``, ``lat`` and ``lon`` of every airport, `ISLAND_POSITIONS` included."""
    islands = pl.DataFrame(
        [(faa, *position) for faa, position in ISLAND_POSITIONS.items()],
        schema={"faa": pl.String, "lat": pl.Float64, "lon": pl.Float64},
        orient="row",
    )
    listed = airports.select("faa", "lat", "lon")
    return pl.concat([listed, islands.join(listed, on="faa", how="anti")])


def _build_airport(positions: pl.DataFrame, codes: pl.Series, key: str) -> pl.DataFrame:
    known_at = pl.lit(REGISTERS_KNOWN_AT, pl.Datetime("us", "UTC"))
    return (
        positions.filter(pl.col("faa").is_in(codes.unique().implode()))
        .select(
            pl.col("faa").alias(key),
            pl.col("lat").alias(f"{key}_latitude_degrees"),
            pl.col("lon").alias(f"{key}_longitude_degrees"),
            known_at.alias(EVENT_TIMESTAMP),
            known_at.alias(CREATED),
        )
        .sort(key)
    )


def build_arrival_labels(flights: pl.DataFrame) -> pl.DataFrame:
    """Return the flights to predict, each at its time of prediction.

    Parameters
    ----------
    flights : polars.DataFrame
        Sound flights with their times.

    Returns
    -------
    polars.DataFrame
        Request fields, ``flight``, ``event_timestamp`` (two hours before the scheduled
        departure), ``arrival_delay_minutes`` (Int64, null if cancelled or diverted) and
        ``label_known_at``, sorted by time, carrier and flight.
    """
    return flights.select(
        "carrier",
        "origin",
        "dest",
        "tailnum",
        "flight",
        "scheduled_departure",
        (pl.col("scheduled_departure") - LEAD_TIME).alias(EVENT_TIMESTAMP),
        pl.col("arr_delay").alias("arrival_delay_minutes"),
        pl.col("outcome_known_at").alias("label_known_at"),
    ).sort(EVENT_TIMESTAMP, "carrier", "flight", "origin")
