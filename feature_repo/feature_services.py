"""Which features a model reads."""

from feast import FeatureService
from feature_views import (
    carrier_performance,
    destination_performance,
    origin_performance,
    origin_weather,
    plane_performance,
    plane_register,
    route_performance,
    station_performance,
)
from request_features import departure_time, flight_path, plane_rest

arrival_delay_v1 = FeatureService(
    name="arrival_delay_v1",
    description="What is known of a flight two hours before its scheduled departure.",
    features=[
        carrier_performance,
        origin_performance,
        station_performance,
        destination_performance,
        route_performance,
        # Not when it last arrived: an instant is no column, `plane_rest` counts from it.
        plane_performance[
            [
                "plane_last_departure_delay",
                "plane_last_arrival_delay",
                "plane_arrival_delay_mean_7d",
            ]
        ],
        origin_weather,
        plane_register,
        # Not its day of year: the models are trained on one year and asked about days that
        # they have never seen.
        departure_time[["local_hour", "local_weekday"]],
        flight_path,
        plane_rest,
    ],
)
