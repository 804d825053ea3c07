"""Where the feature tables are: folders of Parquet files in the lake, see `pipelines.lake`."""

import os

from feast import FileSource, PushSource

LAKE = os.environ.get("ZEROSKEW_LAKE", "../var/lake")
"""A folder, seen from this one, or an address in an object store."""


def lake_table(name: str, description: str) -> FileSource:
    """Return the source of the feature table `name`."""
    return FileSource(
        name=f"{name}_table",
        path=f"{LAKE}/{name}",
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
        description=description,
    )


flight_events_table = lake_table(
    "flight_events",
    "A row whenever a flight becomes overdue, departs, or its outcome is known.",
)
flight_events_push = PushSource(
    name="flight_events_push",
    batch_source=flight_events_table,
    description="What becomes known of a flight, as soon as it is, pushed to the service.",
)
origin_weather_table = lake_table("origin_weather", "A row for each hour, known when it is over.")
origin_weather_push = PushSource(
    name="origin_weather_push",
    batch_source=origin_weather_table,
    description="An hour's weather as soon as it is known, pushed to the service or to Feast.",
)
plane_register_table = lake_table("plane_register", "A row for each plane of the register.")
origin_airport_table = lake_table("origin_airport", "A row for each airport of departure.")
destination_airport_table = lake_table("destination_airport", "A row for each airport of arrival.")
