"""Every flight of the year and every view, against DuckDB and against time itself."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import FeatureStore, FeatureView, Field, FileSource
from feast.types import Float64, Int64

from tests.support.feast_repos import entity, feature_store
from tests.support.flights_project import FlightsProject
from tests.zeroskew.features.offline_store.duckdb_reference import (
    ReferenceView,
    count_differences,
    reference_features,
)

N_FLIGHTS = 336_776
KEYS = ["carrier", "origin", "dest", "tailnum", "scheduled_departure", "event_timestamp"]


def read_entity_rows(flights: FlightsProject) -> pl.DataFrame:
    table = flights.workspace.lake_folder / "arrival_labels"
    return pl.read_parquet(table, hive_partitioning=False)


def join(store: FeatureStore, labels: pl.DataFrame, features: Any) -> pl.DataFrame:
    job = store.get_historical_features(labels.to_pandas(), features, full_feature_names=True)
    return pl.DataFrame(job.to_arrow())


def test_all_labels_and_views_equal_duckdb(flights: FlightsProject) -> None:
    store = flights.workspace.open_feature_store()
    labels = read_entity_rows(flights).select(KEYS)
    views = store.list_feature_views()
    assert labels.height == N_FLIGHTS
    assert len(views) >= 6
    assert sum(len(view.features) for view in views) >= 25
    for view in views:
        names = tuple(feature.name for feature in view.features)
        reference = ReferenceView(
            name=view.name,
            folder=flights.workspace.lake_folder / view.name,
            keys=tuple(sorted(view.join_keys)),
            features=names,
            ttl=view.ttl or None,
        )
        got = join(store, labels, [f"{view.name}:{name}" for name in names])
        got = got.rename({f"{view.name}__{name}": name for name in names})
        assert got.select(KEYS).equals(labels)
        differences = count_differences(got, reference_features(labels, reference), names)
        assert differences == dict.fromkeys(names, 0), view.name
        # Gusts are rare in the source; nothing else is.
        known = [got[name].count() for name in names if name != "wind_gust_mph"]
        assert min(known) > N_FLIGHTS // 3, view.name


def test_no_value_is_younger_than_its_prediction(flights: FlightsProject, tmp_path: Path) -> None:
    applied = flights.workspace.open_feature_store().list_feature_views()
    entities = {key: entity(key) for view in applied for key in view.join_keys}
    views = []
    for view in applied:
        table = pl.read_parquet(flights.workspace.lake_folder / view.name, hive_partitioning=False)
        table.select(
            *view.join_keys,
            "event_timestamp",
            "created",
            happened_us=pl.col("event_timestamp").dt.epoch("us"),
            created_us=pl.col("created").dt.epoch("us"),
        ).write_parquet(tmp_path / f"{view.name}.parquet")
        views.append(
            FeatureView(
                name=view.name,
                entities=[entities[key] for key in sorted(view.join_keys)],
                ttl=view.ttl,
                schema=[
                    Field(name="happened_us", dtype=Int64),
                    Field(name="created_us", dtype=Int64),
                ],
                source=source_of(tmp_path / f"{view.name}.parquet"),
            )
        )
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
