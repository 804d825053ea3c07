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
from request_features import departure_time

arrival_delay_v1 = FeatureService(
    name="arrival_delay_v1",
    description="What is known of a flight two hours before its scheduled departure.",
    features=[
        carrier_performance,
        origin_performance,
        station_performance,
        destination_performance,
        route_performance,
        plane_performance,
        origin_weather,
        plane_register,
        # Not its day of year: the models are trained on one year and asked about days that
        # they have never seen.
        departure_time[["local_hour", "local_weekday"]],
    ],
)
