"""The tables behind the feature views, and the labels."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from pipelines.lake import CREATED
from pipelines.rolling_statistics import (
    EVENT_TIMESTAMP,
    count_over,
    latest,
    mean_over,
    rolling_statistics,
    total,
)

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
    "departure_events",
    "outcome_events",
    "overdue_events",
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
_ROUTE = ["origin", "dest"]
_STATION = ["carrier", "origin"]


def outcome_events(flights: pl.DataFrame) -> pl.DataFrame:
    """Return one event for each flight's outcome, at the moment it became known.

    Parameters
    ----------
    flights : polars.DataFrame
        Flights with their times, as `pipelines.flight_times.add_flight_times` makes them.

    Returns
    -------
    polars.DataFrame
        Keys, ``event_timestamp``, ``distance``, ``arrived_at``, ``arrival_delay`` in minutes
        and ``late`` (null for a cancelled or diverted flight), and ``cancelled``.
    """
    return flights.select(
        "carrier",
        "origin",
        "dest",
        "tailnum",
        "distance",
        "cancelled",
        "arrived_at",
        pl.col("outcome_known_at").alias(EVENT_TIMESTAMP),
        pl.col("arr_delay").alias("arrival_delay"),
        late=pl.col("arr_delay") >= LATE_MINUTES,
    )


def departure_events(flights: pl.DataFrame) -> pl.DataFrame:
    """Return one event for each actual departure, with ``departure_delay`` in minutes."""
    return flights.filter(pl.col("departed_at").is_not_null()).select(
        "carrier",
        "origin",
        "dest",
        "tailnum",
        pl.col("departed_at").alias(EVENT_TIMESTAMP),
        pl.col("dep_delay").alias("departure_delay"),
    )


def overdue_events(flights: pl.DataFrame) -> pl.DataFrame:
    """Return ``overdue`` +1 when a flight has not left 15 minutes late, -1 when it does.

    A flight that is cancelled stays overdue until its outcome is known.
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
    """Yield each feature table by the name of its view.

    Parameters
    ----------
    flights : polars.DataFrame
        Sound flights with their times.
    weather, planes, airports : polars.DataFrame
        Sound rows of the source tables.

    Yields
    ------
    tuple of str and polars.DataFrame
        Keys, features, ``event_timestamp`` and ``created``, sorted by time and keys.
    """
    outcomes, departures = outcome_events(flights), departure_events(flights)
    both = pl.concat([departures, outcomes], how="diagonal")
    ground = pl.concat([both, overdue_events(flights)], how="diagonal")
    yield "carrier_performance", _flight_statistics(both, ["carrier"], _CARRIER)
    yield "origin_performance", _flight_statistics(ground, ["origin"], _ORIGIN)
    yield "station_performance", _flight_statistics(ground, _STATION, _STATION_STATISTICS)
    yield "destination_performance", _flight_statistics(outcomes, ["dest"], _DESTINATION)
    yield "route_performance", _flight_statistics(outcomes, _ROUTE, _ROUTE_STATISTICS)
    yield "plane_performance", _flight_statistics(both, ["tailnum"], _PLANE)
    yield "origin_weather", _build_weather(weather)
    yield "plane_register", _build_plane_register(planes)
    positions = _airport_positions(airports)
    for key, name in (("origin", "origin_airport"), ("dest", "destination_airport")):
        yield name, _build_airport(positions, flights[key], key)


_CARRIER = {
    "carrier_departure_delay_mean_3h": mean_over("departure_delay", "3h"),
    "carrier_arrival_delay_mean_3h": mean_over("arrival_delay", "3h"),
    "carrier_arrival_delay_mean_24h": mean_over("arrival_delay", "24h"),
    "carrier_late_share_7d": mean_over("late", "7d"),
    "carrier_cancelled_share_24h": mean_over("cancelled", "24h"),
}
_ORIGIN = {
    "origin_departure_delay_mean_1h": mean_over("departure_delay", "1h"),
    "origin_departures_1h": count_over("departure_delay", "1h"),
    "origin_overdue_departures": total("overdue"),
    "origin_arrival_delay_mean_3h": mean_over("arrival_delay", "3h"),
    "origin_late_share_24h": mean_over("late", "24h"),
    "origin_cancelled_share_24h": mean_over("cancelled", "24h"),
}
_STATION_STATISTICS = {
    "station_departure_delay_mean_3h": mean_over("departure_delay", "3h"),
    "station_late_share_24h": mean_over("late", "24h"),
    "station_overdue_departures": total("overdue"),
}
_DESTINATION = {
    "dest_arrival_delay_mean_3h": mean_over("arrival_delay", "3h"),
    "dest_arrival_delay_mean_24h": mean_over("arrival_delay", "24h"),
    "dest_late_share_7d": mean_over("late", "7d"),
}
_ROUTE_STATISTICS = {
    "route_arrival_delay_mean_7d": mean_over("arrival_delay", "7d"),
    "route_late_share_28d": mean_over("late", "28d"),
    "route_arrivals_28d": count_over("arrival_delay", "28d"),
    "route_distance_miles": latest("distance"),
}
_PLANE = {
    "plane_last_departure_delay": latest("departure_delay"),
    "plane_last_arrival_delay": latest("arrival_delay"),
    "plane_last_arrived_at": latest("arrived_at"),
    "plane_arrival_delay_mean_7d": mean_over("arrival_delay", "7d"),
}


def _flight_statistics(
    events: pl.DataFrame, keys: list[str], statistics: dict[str, pl.Expr]
) -> pl.DataFrame:
    rows = rolling_statistics(events, keys=keys, statistics=statistics)
    return rows.with_columns((pl.col(EVENT_TIMESTAMP) + FLIGHT_LAG).alias(CREATED))


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
