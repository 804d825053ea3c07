"""Feast's definitions against the tables, and one score's features through Feast."""

import math
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import entities
import feature_views
import polars as pl
import pytest
from feast import FeatureStore, FeatureView
from feast.repo_operations import get_repo_files
from feature_services import arrival_delay_v1
from feature_views import FLIGHT_EVENTS
from pipelines.prepare import prepare
from request_features import departure_time, flight_path, plane_rest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.feast_service import publish_catalog, settings_of
from tests.support.flights import flight, plane, source_tables, weather_hour
from training.pipeline import materialize_views
from zeroskew.features.windows.declare import window_plan_of

REPO = Path(feature_views.__file__).parent
VIEWS: list[FeatureView] = [
    value for value in vars(feature_views).values() if isinstance(value, FeatureView)
]
WINDOWED = [view for view in VIEWS if window_plan_of(view) is not None]
COMPUTED = [departure_time, flight_path, plane_rest]
ENTITIES = [entities.carrier, entities.origin, entities.destination, entities.plane]

FLIGHTS = [
    # Left at 14:05, landed 20 minutes late at 16:50 UTC.
    flight(flight=1, departs=1000, arrives=1230, dep_delay=5, arr_delay=20),
    # Left at 14:50, landed 10 minutes late at 17:40 UTC.
    flight(flight=2, departs=1030, arrives=1330, dep_delay=20, arr_delay=10),
    # Asked at 17:00: flight 1 has landed, flight 2 is in the air.
    flight(flight=3, departs=1500, arrives=1730),
]
ASKED_AT = datetime(2013, 6, 14, 17, tzinfo=UTC)
REQUEST = {
    "carrier": "UA",
    "origin": "EWR",
    "dest": "ATL",
    "tailnum": "N14228",
    "scheduled_departure": datetime(2013, 6, 14, 19, tzinfo=UTC),
}
EXPECTED = {
    "carrier_departure_delay_mean_3h": 12.5,
    "carrier_arrival_delay_mean_3h": 20.0,
    "origin_departures_1h": 0,
    "origin_overdue_departures": 0,
    "station_late_share_24h": 1.0,
    "dest_arrival_delay_mean_24h": 20.0,
    "route_arrivals_28d": 1,
    "route_distance_miles": 746,
    "plane_last_departure_delay": 20,
    "plane_last_arrival_delay": 20,
    "temperature_fahrenheit": 71.5,
    "wind_gust_mph": None,
    "plane_seats": 149,
    "plane_manufacturer": "boeing",
    "local_hour": 15.0,
    "local_weekday": 4.0,
    # Newark to Atlanta, 745 miles to the south-west; the wind comes from the west.
    "great_circle_miles": pytest.approx(745.0, abs=1.0),
    "initial_course_degrees": pytest.approx(232.0, abs=1.0),
    "headwind_mph": pytest.approx(8.0 * math.cos(math.radians(270 - 232)), abs=0.1),
    # Flight 1 landed at 16:50, departure is at 19:00.
    "minutes_since_last_arrival": 130.0,
}


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    prepare(
        home / "var" / "lake",
        source=lambda: source_tables(
            FLIGHTS, weather=[weather_hour("2013-06-14T15:00:00Z", temp=71.5)], planes=[plane()]
        ),
    )
    copy: Path = shutil.copytree(REPO, home / "feature_repo")
    return copy


@pytest.fixture(scope="module")
def store(repo: Path) -> Iterator[FeatureStore]:
    feast_store = FeatureStore(repo_path=str(repo))
    with pytest.warns(RuntimeWarning, match="On demand feature view is an experimental feature"):
        feast_store.apply([*ENTITIES, *VIEWS, *COMPUTED, arrival_delay_v1])
    yield feast_store
    feast_store.teardown()


def test_there_are_enough_views_and_features() -> None:
    names = [field.name for view in VIEWS for field in view.projection.features]
    assert len(VIEWS) >= 6
    assert len(names) >= 25
    assert len(set(names)) == len(names)


def test_every_feature_is_described() -> None:
    for view in VIEWS:
        assert view.description
        assert all(field.description.endswith(".") for field in view.features), view.name


def test_the_service_serves_every_view() -> None:
    served = {projection.name for projection in arrival_delay_v1.feature_view_projections}
    inputs = {name for view in COMPUTED for name in view.source_feature_view_projections}
    assert served | inputs == {view.name for view in [*VIEWS, *COMPUTED]}
    assert inputs - served == {"origin_airport", "destination_airport"}


def test_the_service_takes_of_the_departure_time_what_extrapolates() -> None:
    (projection,) = (
        projection
        for projection in arrival_delay_v1.feature_view_projections
        if projection.name == departure_time.name
    )
    assert [field.name for field in projection.features] == ["local_hour", "local_weekday"]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_table_has_the_columns_and_types_of_its_view(view: FeatureView, repo: Path) -> None:
    table = pl.read_parquet(repo / view.batch_source.path, hive_partitioning=False)
    declared = {column.name: str(column.dtype) for column in [*view.entity_columns, *view.features]}
    if window_plan_of(view) is not None:
        # Its table has the keys of all views of flights, and what windows are computed of.
        keys = {key for one in WINDOWED for key in one.join_keys}
        assert set(view.join_keys) <= keys
        declared = dict.fromkeys(keys, "String") | {
            name: str(dtype) for name, dtype in FLIGHT_EVENTS.items()
        }
    known = {"Datetime(time_unit='us', time_zone='UTC')": "UnixTimestamp", "Boolean": "Bool"}
    assert declared == {
        name: known.get(str(dtype), str(dtype))
        for name, dtype in table.schema.items()
        if name not in ("event_timestamp", "created")
    }


def test_feast_runs_the_definitions_and_not_the_pipelines(repo: Path) -> None:
    assert {path.name for path in get_repo_files(repo)} == {
        "data_sources.py",
        "entities.py",
        "feature_services.py",
        "feature_views.py",
        "request_features.py",
    }


def test_history_knows_what_was_known_when_asked(store: FeatureStore) -> None:
    labels = pl.DataFrame([REQUEST | {"event_timestamp": ASKED_AT}]).to_pandas()
    joined = store.get_historical_features(labels, arrival_delay_v1).to_df()
    (row,) = pl.from_pandas(joined).to_dicts()
    assert {name: row[name] for name in EXPECTED} == EXPECTED


@pytest.mark.parametrize(("minute", "delay"), [(54, None), (55, 20.0)])
def test_a_landing_counts_from_when_its_row_was_created(
    minute: int, delay: float | None, store: FeatureStore
) -> None:
    asked_at = datetime(2013, 6, 14, 16, minute, tzinfo=UTC)
    labels = pl.DataFrame([REQUEST | {"event_timestamp": asked_at}]).to_pandas()
    joined = store.get_historical_features(
        labels,
        ["plane_performance:plane_last_arrival_delay"],
        filter_by_created_timestamp=True,
    ).to_df()
    assert pl.from_pandas(joined)["plane_last_arrival_delay"].item() == delay


def test_online_equals_history(store: FeatureStore, repo: Path, tmp_path: Path) -> None:
    """What the service reads and computes: of windows Feast's own client has only the state."""
    materialize_views(store, ASKED_AT, lambda _done, _total: None)
    publish_catalog(tmp_path, store)
    online = f"sqlite:///{repo.parent / 'var' / 'feast' / 'online.db'}"
    body = {
        "feature_service": "arrival_delay_v1",
        "entities": {
            name: [value.isoformat() if isinstance(value, datetime) else value]
            for name, value in REQUEST.items()
        },
    }
    with AppClient(create_app(settings_of(tmp_path, online, clock=ASKED_AT))) as client:
        answer = client.post("/feast/get-online-features", json=body)
    assert answer.status_code == 200, answer.text
    names, results = answer.json()["metadata"]["feature_names"], answer.json()["results"]
    read: dict[str, Any] = {
        name: one["values"][0] for name, one in zip(names, results, strict=True)
    }
    assert {name: read[name] for name in EXPECTED} == EXPECTED
