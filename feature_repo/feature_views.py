"""The stored features.

A window of ``3h`` is the three hours that end at the moment of the label or the prediction, the
end included and the start not. Means, shares and latest values are null where nothing was known in
the window. Late means 15 minutes or more after schedule; cancelled flights have no delay and are
not late.
"""

from __future__ import annotations

from datetime import timedelta

import data_sources
from entities import carrier, destination, origin, plane
from feast import Entity, FeatureView, Field
from feast.types import Bool, Float32, Float64, Int64, PrimitiveFeastType, String, UnixTimestamp

from zeroskew import Window, windowed_view


def feature(
    name: str, dtype: PrimitiveFeastType, description: str, *, unit: str | None = None
) -> Field:
    """Declare a feature that stands in its table; its unit is a tag."""
    tags = {} if unit is None else {"unit": unit}
    return Field(name=name, dtype=dtype, description=description, tags=tags)


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


FLIGHT_EVENTS = {
    "departure_delay": Int64,
    "arrival_delay": Int64,
    "late": Bool,
    "cancelled": Bool,
    "distance": Int64,
    "arrived_at": UnixTimestamp,
    "overdue": Int64,
}


MEANINGS = {
    ("mean", "departure_delay"): ("Mean departure delay.", "minutes"),
    ("mean", "arrival_delay"): ("Mean arrival delay.", "minutes"),
    ("share", "late"): ("Share of arrivals that were late.", "share"),
    ("share", "cancelled"): ("Share of outcomes that were cancelled.", "share"),
    ("count", "departure_delay"): ("Departures.", "flights"),
    ("count", "arrival_delay"): ("Arrivals.", "flights"),
    ("sum", "overdue"): (
        "Flights that should have left 15 minutes ago or earlier and have not.",
        "flights",
    ),
    ("last", "departure_delay"): ("Latest departure delay.", "minutes"),
    ("last", "arrival_delay"): ("Latest arrival delay.", "minutes"),
    ("last", "arrived_at"): ("Latest arrival.", "instant"),
    ("last", "distance"): ("Distance as last reported.", "miles"),
}


def _window(name: str, function: str, column: str, over: str | None = None) -> Window:
    description, unit = MEANINGS[function, column]
    return Window(name, function, column, over=over, description=description, unit=unit)


def _of_flights(
    name: str, description: str, entities: list[Entity], ttl: timedelta, *windows: Window
) -> FeatureView:
    return windowed_view(
        name=name,
        description=description,
        entities=entities,
        ttl=ttl,
        source=data_sources.flight_events_push,
        columns=FLIGHT_EVENTS,
        windows=windows,
    )


carrier_performance = _of_flights(
    "carrier_performance",
    "How punctual the carrier's flights out of New York are.",
    [carrier],
    timedelta(days=2),
    _window("carrier_departure_delay_mean_3h", "mean", "departure_delay", "3h"),
    _window("carrier_arrival_delay_mean_3h", "mean", "arrival_delay", "3h"),
    _window("carrier_arrival_delay_mean_24h", "mean", "arrival_delay", "24h"),
    _window("carrier_late_share_7d", "share", "late", "7d"),
    _window("carrier_cancelled_share_24h", "share", "cancelled", "24h"),
)

origin_performance = _of_flights(
    "origin_performance",
    "How punctual flights from the airport are, and how many wait to leave.",
    [origin],
    timedelta(days=1),
    _window("origin_departure_delay_mean_1h", "mean", "departure_delay", "1h"),
    _window("origin_departures_1h", "count", "departure_delay", "1h"),
    _window("origin_overdue_departures", "sum", "overdue"),
    _window("origin_arrival_delay_mean_3h", "mean", "arrival_delay", "3h"),
    _window("origin_late_share_24h", "share", "late", "24h"),
    _window("origin_cancelled_share_24h", "share", "cancelled", "24h"),
)

station_performance = _of_flights(
    "station_performance",
    "How punctual the carrier is at this airport, and how many of its flights wait.",
    [carrier, origin],
    timedelta(days=2),
    _window("station_departure_delay_mean_3h", "mean", "departure_delay", "3h"),
    _window("station_late_share_24h", "share", "late", "24h"),
    _window("station_overdue_departures", "sum", "overdue"),
)

destination_performance = _of_flights(
    "destination_performance",
    "How punctual flights from New York arrive at the airport.",
    [destination],
    timedelta(days=2),
    _window("dest_arrival_delay_mean_3h", "mean", "arrival_delay", "3h"),
    _window("dest_arrival_delay_mean_24h", "mean", "arrival_delay", "24h"),
    _window("dest_late_share_7d", "share", "late", "7d"),
)

route_performance = _of_flights(
    "route_performance",
    "How punctual flights from this origin to this destination are.",
    [origin, destination],
    timedelta(days=28),
    _window("route_arrival_delay_mean_7d", "mean", "arrival_delay", "7d"),
    _window("route_late_share_28d", "share", "late", "28d"),
    _window("route_arrivals_28d", "count", "arrival_delay", "28d"),
    _window("route_distance_miles", "last", "distance"),
)

plane_performance = _of_flights(
    "plane_performance",
    "How punctual the plane has been on its flights out of New York.",
    [plane],
    timedelta(days=28),
    _window("plane_last_departure_delay", "last", "departure_delay"),
    _window("plane_last_arrival_delay", "last", "arrival_delay"),
    _window("plane_arrival_delay_mean_7d", "mean", "arrival_delay", "7d"),
    _window("plane_last_arrived_at", "last", "arrived_at"),
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
