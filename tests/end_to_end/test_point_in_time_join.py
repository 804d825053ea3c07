"""Every flight of the year and every view, against DuckDB and against time itself."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.types import Float64, Int64

from tests.support.duckdb_windows import reference_windows
from tests.support.feast_repos import entity, feature_store
from tests.support.flights_project import FlightsProject
from tests.zeroskew.features.offline_store.duckdb_reference import (
    ReferenceView,
    count_differences,
    reference_features,
)
from zeroskew import Window, windowed_view
from zeroskew.features.windows.declare import window_plan_of

N_FLIGHTS = 336_776
EACH = 700
"""Which labels are computed by brute force."""
N_SAMPLED = 482
KEYS = ["carrier", "origin", "dest", "tailnum", "scheduled_departure", "event_timestamp"]


def read_entity_rows(flights: FlightsProject) -> pl.DataFrame:
    table = flights.workspace.lake_folder / "arrival_labels"
    return pl.read_parquet(table, hive_partitioning=False)


def join(store: FeatureStore, labels: pl.DataFrame, features: Any) -> pl.DataFrame:
    job = store.get_historical_features(labels.to_pandas(), features, full_feature_names=True)
    return pl.DataFrame(job.to_arrow())


def test_all_labels_and_views_equal_duckdb(flights: FlightsProject) -> None:
    """Of windows, a sample of the labels: SQL puts each one beside all events before it."""
    store = flights.workspace.open_feature_store()
    labels = read_entity_rows(flights).select(KEYS)
    views = store.list_feature_views()
    assert labels.height == N_FLIGHTS
    assert len(views) >= 6
    assert sum(len(requested_names(view)) for view in views) >= 25
    for view in views:
        names = requested_names(view)
        got = join(store, labels, [f"{view.name}:{name}" for name in names])
        got = got.rename({f"{view.name}__{name}": name for name in names})
        assert got.select(KEYS).equals(labels)
        expected = look_up(flights, view, labels)
        if expected.height < labels.height:
            assert expected.height == N_SAMPLED
            differences = count_differences(got.gather_every(EACH), expected, names)
        else:
            differences = count_differences(got, expected, names)
        assert differences == dict.fromkeys(names, 0), view.name
        # Gusts are rare in the source; nothing else is.
        known = [got[name].count() for name in names if name != "wind_gust_mph"]
        assert min(known) > N_FLIGHTS // 3, view.name


def requested_names(view: FeatureView) -> tuple[str, ...]:
    """Return what may be asked for of a view: of a windowed one, not its state."""
    windows = window_plan_of(view)
    features = view.features if windows is None else windows.features
    return tuple(feature.name for feature in features)


def look_up(flights: FlightsProject, view: FeatureView, labels: pl.DataFrame) -> pl.DataFrame:
    """Return what DuckDB says of labels, or of each `EACH`-th."""
    lake, keys = flights.workspace.lake_folder, tuple(sorted(view.join_keys))
    if (windows := window_plan_of(view)) is not None:
        some = labels.gather_every(EACH)
        return reference_windows(some, lake / "flight_events", keys, windows, view.ttl)
    names = requested_names(view)
    reference = ReferenceView(view.name, lake / view.name, keys, names, view.ttl or None)
    return reference_features(labels, reference)


def test_no_value_is_younger_than_its_prediction(flights: FlightsProject, tmp_path: Path) -> None:
    applied = flights.workspace.open_feature_store().list_feature_views()
    entities = {key: entity(key) for view in applied for key in view.join_keys}
    views = []
    for view in applied:
        is_windowed = window_plan_of(view) is not None
        folder = flights.workspace.lake_folder / ("flight_events" if is_windowed else view.name)
        table = pl.read_parquet(folder, hive_partitioning=False)
        table.select(
            *view.join_keys,
            "event_timestamp",
            "created",
            happened_us=pl.col("event_timestamp").dt.epoch("us"),
            created_us=pl.col("created").dt.epoch("us"),
        ).write_parquet(tmp_path / f"{view.name}.parquet")
        declare = declare_newest if is_windowed else declare_latest
        keys = [entities[key] for key in sorted(view.join_keys)]
        views.append(declare(view, keys, source_of(tmp_path / f"{view.name}.parquet")))
    store = feature_store(tmp_path, [*entities.values(), *views])
    labels = read_entity_rows(flights).select(KEYS)
    joined = join(
        store, labels, [f"{v.name}:{f}" for v in views for f in ("happened_us", "created_us")]
    )
    asked_us = joined["event_timestamp"].dt.epoch("us")
    for view in views:
        for moment in ("happened_us", "created_us"):
            known_us = joined[f"{view.name}__{moment}"]
            assert known_us.count() > N_FLIGHTS // 3
            assert (known_us <= asked_us).all(), (view.name, moment)


def declare_latest(view: FeatureView, keys: list[Entity], source: FileSource) -> FeatureView:
    """Declare a view of the times of its rows."""
    schema = [Field(name=name, dtype=Int64) for name in ("happened_us", "created_us")]
    return FeatureView(name=view.name, entities=keys, ttl=view.ttl, schema=schema, source=source)


def declare_newest(view: FeatureView, keys: list[Entity], source: FileSource) -> FeatureView:
    """Declare a view of the greatest times of all events that its windows see."""
    times = ("happened_us", "created_us")
    return windowed_view(
        name=view.name,
        entities=keys,
        ttl=view.ttl,
        source=source,
        columns=dict.fromkeys(times, Int64),
        windows=[Window(name, "max", name) for name in times],
    )


@pytest.mark.parametrize("backdated", [False, True], ids=["known-late", "backdated"])
def test_a_feature_that_knows_the_future_is_not_in_the_data_set(
    flights: FlightsProject, tmp_path: Path, backdated: bool
) -> None:
    labels = read_entity_rows(flights).filter(pl.col("arrival_delay_minutes").is_not_null())
    labels = labels.with_row_index("flight_id").with_columns(pl.col("flight_id").cast(pl.Int64))
    # Each flight's own delay, as a view that the model would love to have. Known late, it has
    # the landing as its event time; backdated, it pretends to have been known all along and
    # only its creation time tells the truth.
    event_time = "event_timestamp" if backdated else "label_known_at"
    labels.select(
        "carrier",
        "flight_id",
        "arrival_delay_minutes",
        event_timestamp=pl.col(event_time),
        created=pl.col("label_known_at"),
    ).write_parquet(tmp_path / "oracle.parquet")
    carrier = entity("carrier")
    oracle = FeatureView(
        name="oracle",
        entities=[carrier],
        ttl=timedelta(days=2),
        schema=[
            Field(name="flight_id", dtype=Int64),
            Field(name="arrival_delay_minutes", dtype=Float64),
        ],
        source=source_of(tmp_path / "oracle.parquet"),
    )
    rows = labels.select("carrier", "event_timestamp", own_id="flight_id")
    refs = ["oracle:flight_id", "oracle:arrival_delay_minutes"]

    seen = join(feature_store(tmp_path, [carrier, oracle]), rows, refs)["oracle__flight_id"]
    known_at = labels["label_known_at"].gather(seen.drop_nulls())
    asked_at = rows["event_timestamp"].filter(seen.is_not_null())
    assert seen.count() > N_FLIGHTS // 2
    assert (known_at <= asked_at).all()
    assert not (seen == rows["own_id"]).any()

    if backdated:
        # The control: without the cutoff on creation time the future is there to be seen.
        careless = feature_store(
            tmp_path, [carrier, oracle], offline_store={"filter_by_created_timestamp": False}
        )
        seen = join(careless, rows, refs)["oracle__flight_id"]
        known_at = labels["label_known_at"].gather(seen.drop_nulls())
        from_the_future = known_at > rows["event_timestamp"].filter(seen.is_not_null())
        assert from_the_future.sum() > 0.9 * len(from_the_future)


def source_of(path: Path) -> FileSource:
    return FileSource(
        path=str(path),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
