"""The stored features.

A window of ``3h`` is the three hours that end at the row's event time, the end included and
the start not. Statistics are null where nothing was known in the window. Late means 15
minutes or more after schedule; cancelled flights have no delay and are not late.
"""

from __future__ import annotations

from datetime import timedelta

import data_sources
from entities import carrier, destination, origin, plane
from feast import FeatureView, Field
from feast.types import Float32, Float64, Int64, PrimitiveFeastType, String, UnixTimestamp


def feature(
    name: str,
    dtype: PrimitiveFeastType,
    description: str,
    *,
    unit: str | None = None,
    window: str | None = None,
) -> Field:
    """Declare a feature; its unit and window are tags."""
    tags = {"unit": unit, "window": window}
    return Field(
        name=name,
        dtype=dtype,
        description=description,
        tags={tag: value for tag, value in tags.items() if value is not None},
    )


def _delay(name: str, description: str, window: str | None = None) -> Field:
    return feature(name, Float32, description, unit="minutes", window=window)


def _share(name: str, description: str, window: str) -> Field:
    return feature(name, Float32, description, unit="share", window=window)


def _count(name: str, description: str, window: str | None = None) -> Field:
    return feature(name, Int64, description, unit="flights", window=window)


def _position(airport: str) -> list[Field]:
    return [
        feature(
            f"{airport}_latitude_degrees", Float64, "Latitude, north positive.", unit="degrees"
        ),
        feature(
            f"{airport}_longitude_degrees", Float64, "Longitude, east positive.", unit="degrees"
        ),
    ]


def _key(name: str) -> Field:
    return Field(name=name, dtype=String)


carrier_performance = FeatureView(
    name="carrier_performance",
    description="How punctual the carrier's flights out of New York are.",
    entities=[carrier],
    ttl=timedelta(days=2),
    source=data_sources.carrier_performance_table,
    schema=[
        _key("carrier"),
        _delay("carrier_departure_delay_mean_3h", "Mean departure delay.", "3h"),
        _delay("carrier_arrival_delay_mean_3h", "Mean arrival delay.", "3h"),
        _delay("carrier_arrival_delay_mean_24h", "Mean arrival delay.", "24h"),
        _share("carrier_late_share_7d", "Share of arrivals that were late.", "7d"),
        _share("carrier_cancelled_share_24h", "Share of outcomes that were cancelled.", "24h"),
    ],
)

origin_performance = FeatureView(
    name="origin_performance",
    description="How punctual flights from the airport are, and how many wait to leave.",
    entities=[origin],
    ttl=timedelta(days=1),
    source=data_sources.origin_performance_table,
    schema=[
        _key("origin"),
        _delay("origin_departure_delay_mean_1h", "Mean departure delay.", "1h"),
        _count("origin_departures_1h", "Departures.", "1h"),
        _count(
            "origin_overdue_departures",
            "Flights that should have left 15 minutes ago or earlier and have not.",
        ),
        _delay("origin_arrival_delay_mean_3h", "Mean arrival delay, wherever they went.", "3h"),
        _share("origin_late_share_24h", "Share of arrivals that were late.", "24h"),
        _share("origin_cancelled_share_24h", "Share of outcomes that were cancelled.", "24h"),
    ],
)

station_performance = FeatureView(
    name="station_performance",
    description="How punctual the carrier is at this airport, and how many of its flights wait.",
    entities=[carrier, origin],
    ttl=timedelta(days=2),
    source=data_sources.station_performance_table,
    schema=[
        _key("carrier"),
        _key("origin"),
        _delay("station_departure_delay_mean_3h", "Mean departure delay.", "3h"),
        _share("station_late_share_24h", "Share of arrivals that were late.", "24h"),
        _count(
            "station_overdue_departures",
            "Flights that should have left 15 minutes ago or earlier and have not.",
        ),
    ],
)

destination_performance = FeatureView(
    name="destination_performance",
    description="How punctual flights from New York arrive at the airport.",
    entities=[destination],
    ttl=timedelta(days=2),
    source=data_sources.destination_performance_table,
    schema=[
        _key("dest"),
        _delay("dest_arrival_delay_mean_3h", "Mean arrival delay.", "3h"),
        _delay("dest_arrival_delay_mean_24h", "Mean arrival delay.", "24h"),
        _share("dest_late_share_7d", "Share of arrivals that were late.", "7d"),
    ],
)

route_performance = FeatureView(
    name="route_performance",
    description="How punctual flights from this origin to this destination are.",
    entities=[origin, destination],
    ttl=timedelta(days=28),
    source=data_sources.route_performance_table,
    schema=[
        _key("origin"),
        _key("dest"),
        _delay("route_arrival_delay_mean_7d", "Mean arrival delay.", "7d"),
        _share("route_late_share_28d", "Share of arrivals that were late.", "28d"),
        _count("route_arrivals_28d", "Arrivals.", "28d"),
        feature("route_distance_miles", Int64, "Distance as last reported.", unit="miles"),
    ],
)

plane_performance = FeatureView(
    name="plane_performance",
    description="How punctual the plane has been on its flights out of New York.",
    entities=[plane],
    ttl=timedelta(days=28),
    source=data_sources.plane_performance_table,
    schema=[
        _key("tailnum"),
        feature("plane_last_departure_delay", Int64, "Latest departure delay.", unit="minutes"),
        feature("plane_last_arrival_delay", Int64, "Latest arrival delay.", unit="minutes"),
        _delay("plane_arrival_delay_mean_7d", "Mean arrival delay.", "7d"),
        feature("plane_last_arrived_at", UnixTimestamp, "Latest arrival.", unit="instant"),
    ],
)

origin_weather = FeatureView(
    name="origin_weather",
    description="The last full hour's weather at the airport of departure.",
    entities=[origin],
    ttl=timedelta(hours=3),
    source=data_sources.origin_weather_push,
    schema=[
        _key("origin"),
        feature("temperature_fahrenheit", Float32, "Air temperature.", unit="°F"),
        feature("dew_point_fahrenheit", Float32, "Dew point.", unit="°F"),
        feature("humidity_percent", Float32, "Relative humidity.", unit="%"),
        feature("wind_direction_degrees", Float32, "Where the wind comes from.", unit="degrees"),
        feature("wind_speed_mph", Float32, "Wind speed.", unit="mph"),
        feature("wind_gust_mph", Float32, "Gust speed, null where none was noted.", unit="mph"),
        feature("precipitation_inches", Float32, "Precipitation.", unit="inches"),
        feature("pressure_millibars", Float32, "Sea-level pressure.", unit="millibars"),
        feature("visibility_miles", Float32, "Visibility, at most 10.", unit="miles"),
    ],
)

plane_register = FeatureView(
    name="plane_register",
    description="The plane's own data, from the federal register.",
    entities=[plane],
    ttl=timedelta(0),
    source=data_sources.plane_register_table,
    schema=[
        _key("tailnum"),
        feature("plane_year_built", Int64, "Year of manufacture.", unit="year"),
        feature("plane_seats", Int64, "Seats.", unit="seats"),
        feature("plane_manufacturer", String, "Manufacturer; the small ones are `other`."),
    ],
)

origin_airport = FeatureView(
    name="origin_airport",
    description="Where the airport of departure lies.",
    entities=[origin],
    ttl=timedelta(0),
    source=data_sources.origin_airport_table,
    schema=[_key("origin"), *_position("origin")],
)

destination_airport = FeatureView(
    name="destination_airport",
    description="Where the airport of arrival lies.",
    entities=[destination],
    ttl=timedelta(0),
    source=data_sources.destination_airport_table,
    schema=[_key("dest"), *_position("dest")],
)
