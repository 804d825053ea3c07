"""Materialization into Feast's SQLite store, and appending to a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from feast import FeatureStore, FeatureView, FileSource, PushSource, ValueType
from feast.data_source import PushMode
from feast.feature_view import DUMMY_ENTITY_ID
from feast.field import Field
from feast.types import Float64

from tests.support.feast_repos import at, entity, feature_store, view, write_months, write_table
from zeroskew.features.offline_store.errors import SourceError, UnsupportedRequestError
from zeroskew.features.offline_store.polars_asof import PolarsAsofOfflineStore
from zeroskew.features.offline_store.source_write import append_to_source

LATEST = {"pull_latest_features": True}
CARRIER = entity("carrier")
MONTH = 31 * 24 * 60
ROWS = pl.DataFrame(
    [
        ("UA", 1.0, at(10), at(10)),
        ("UA", 2.0, at(20), at(20)),
        ("UA", 9.0, at(10), at(30)),  # A late correction of an older event.
        ("AA", 3.0, at(5), at(5)),
        ("AA", None, at(6), at(6)),
        ("DL", 5.0, at(7), at(8)),
        ("DL", 4.0, at(7), at(7)),
        ("B6", 6.0, at(8), at(200)),  # Not created when the span ends.
        ("WN", 7.0, at(101), at(101)),  # Its event comes after the span.
        ("HA", 8.0, at(-1), at(-1)),  # Its event comes before the span.
        (None, 7.0, at(9), at(9)),
    ],
    schema={
        "carrier": pl.String,
        "delay": pl.Float64,
        "event_timestamp": pl.Datetime("us", "UTC"),
        "created": pl.Datetime("us", "UTC"),
    },
    orient="row",
)
CARRIERS = ["UA", "AA", "DL", "B6", "WN", "HA", "??"]


def online(store: FeatureStore, carriers: list[str]) -> list[float | None]:
    rows = [{"carrier": carrier} for carrier in carriers]
    answers: list[float | None] = store.get_online_features(["v:delay"], rows).to_dict()["delay"]
    return answers


def test_a_row_whose_key_is_nan_is_nobodys(tmp_path: Path) -> None:
    # As pandas writes whole numbers where one is missing.
    rows = ROWS[:3].with_columns(gate=pl.Series([1.0, 2.0, float("nan")]))
    gate = entity("gate", ValueType.INT64)
    path = write_table(tmp_path / "t.parquet", rows)
    store = feature_store(
        tmp_path, [gate, view("v", path, [gate], {"delay": Float64})], materialization=LATEST
    )
    store.materialize(at(0), at(100))
    asked = store.get_online_features(["v:delay"], [{"gate": 1}, {"gate": 2}])
    assert asked.to_dict()["delay"] == [1.0, 2.0]


@pytest.mark.parametrize("max_slice_rows", [1, 1_000], ids=["in-slices", "at-once"])
def test_the_online_store_gets_what_a_label_at_the_end_gets(
    tmp_path: Path, max_slice_rows: int
) -> None:
    path = write_table(tmp_path / "t.parquet", ROWS)
    store = feature_store(
        tmp_path,
        [CARRIER, view("v", path, [CARRIER], {"delay": Float64})],
        offline_store={"max_slice_rows": max_slice_rows},
        materialization=LATEST,
    )
    store.materialize(at(0), at(100))
    assert online(store, CARRIERS) == [2.0, None, 5.0, None, None, None, None]
    labels = pl.DataFrame({"carrier": CARRIERS}).with_columns(event_timestamp=pl.lit(at(100)))
    historical = store.get_historical_features(labels, ["v:delay"]).to_arrow()
    expected = [2.0, None, 5.0, None, None, 8.0, None]
    assert historical.column("delay").to_pylist() == expected


def test_without_the_cutoff_late_rows_are_materialized(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", ROWS)
    store = feature_store(
        tmp_path,
        [CARRIER, view("v", path, [CARRIER], {"delay": Float64})],
        offline_store={"filter_by_created_timestamp": False},
        materialization=LATEST,
    )
    store.materialize(at(0), at(100))
    assert online(store, ["UA", "B6"]) == [2.0, 6.0]


def test_the_ends_of_a_span_are_included(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", ROWS)
    objects = [CARRIER, view("v", path, [CARRIER], {"delay": Float64})]
    store = feature_store(tmp_path, objects, materialization=LATEST)
    store.materialize(at(20), at(101))
    assert online(store, ["UA", "WN", "AA"]) == [2.0, 7.0, None]


@pytest.mark.parametrize("materialization", [LATEST, {}], ids=["latest", "all"])
def test_several_months_and_part_files_reach_the_online_store_whole(
    tmp_path: Path, materialization: dict[str, Any]
) -> None:
    months = [
        (f"{number}", float(month), at(month * MONTH + number), at(month * MONTH + number))
        for month in range(4)
        for number in range(50)
        if number % (month + 1) == 0
    ]
    rows = pl.DataFrame(months, schema=ROWS.schema, orient="row")
    folder = write_months(tmp_path / "lake", rows)
    store = feature_store(
        tmp_path,
        [CARRIER, view("v", folder, [CARRIER], {"delay": Float64})],
        offline_store={"max_slice_rows": 10},
        materialization=materialization,
    )
    store.materialize(at(0), at(5 * MONTH))
    last = [
        max(float(month) for month in range(4) if number % (month + 1) == 0) for number in range(50)
    ]
    assert online(store, [str(number) for number in range(50)]) == last


def test_rows_without_a_key_do_not_stop_a_materialization_of_all_rows(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", ROWS)
    assert ROWS["carrier"].null_count() == 1
    store = feature_store(tmp_path, [CARRIER, view("v", path, [CARRIER], {"delay": Float64})])
    store.materialize(at(0), at(100))
    assert online(store, ["UA", "DL"]) == [2.0, 5.0]


def test_an_incremental_run_skips_late_rows_and_an_overlapping_one_writes_them(
    tmp_path: Path,
) -> None:
    path = write_table(tmp_path / "t.parquet", ROWS)
    objects = [CARRIER, view("v", path, [CARRIER], {"delay": Float64})]
    store = feature_store(tmp_path, objects, materialization=LATEST)
    store.materialize(at(0), at(100))
    # B6 has an event at minute 8 that was created at minute 200.
    store.materialize_incremental(at(300))
    assert online(store, ["WN", "B6"]) == [7.0, None]
    store.materialize(at(0), at(300))
    assert online(store, ["WN", "B6"]) == [7.0, 6.0]


@pytest.mark.parametrize("materialization", [LATEST, {}], ids=["latest", "all"])
def test_a_view_without_an_entity_is_materialized(
    tmp_path: Path, materialization: dict[str, Any]
) -> None:
    path = write_table(tmp_path / "t.parquet", ROWS.head(2)[::-1])
    objects = [view("v", path, [], {"delay": Float64})]
    store = feature_store(tmp_path, objects, materialization=materialization)
    store.materialize(at(0), at(100))
    got = store.get_online_features(["v:delay"], [{DUMMY_ENTITY_ID: ""}]).to_dict()
    assert got["delay"] == [2.0]


def folder_store(tmp_path: Path) -> tuple[FeatureStore, Path]:
    folder = write_months(tmp_path / "lake", ROWS.head(2))
    source = FileSource(
        name="lake",
        path=str(folder),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    pushed = FeatureView(
        name="v",
        entities=[CARRIER],
        schema=[Field(name="delay", dtype=Float64)],
        source=PushSource(name="push", batch_source=source),
    )
    return feature_store(tmp_path, [CARRIER, pushed]), folder


def test_a_push_appends_a_part_file_to_each_month_and_rewrites_none(tmp_path: Path) -> None:
    store, folder = folder_store(tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    later = [at(30), at(2 * MONTH)]
    frame = pd.DataFrame(
        {"created": later, "event_timestamp": later, "carrier": ["UA", "UA"], "delay": [3, 4]}
    )
    store.push("push", frame, to=PushMode.OFFLINE)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert [path.parent.as_posix() for path in files] == [
        "year=2013/month=01",
        "year=2013/month=01",
        "year=2013/month=03",
    ]
    assert {path: path.read_bytes() for path in before} == before
    labels = pl.DataFrame({"carrier": ["UA"] * 3, "event_timestamp": [at(25), *later]})
    got = store.get_historical_features(labels, ["v:delay"]).to_arrow()
    assert got.column("delay").to_pylist() == [2.0, 3.0, 4.0]


def test_a_batch_that_does_not_fit_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    store, folder = folder_store(tmp_path)
    before = sorted(folder.rglob("*"))
    write = PolarsAsofOfflineStore.offline_write_batch
    features = store.get_feature_view("v")
    wrong_type = ROWS.head(1).with_columns(delay=pl.lit("late"))
    unknown = ROWS.head(1).with_columns(gate=pl.lit("A1"))
    null_partition = ROWS.head(1).with_columns(event_timestamp=pl.lit(None, pl.Datetime("us")))
    for rows in (wrong_type, unknown, ROWS.head(1).drop("created"), null_partition):
        with pytest.raises(SourceError):
            write(store.config, features, rows.to_arrow(), None)
    assert sorted(folder.rglob("*")) == before


def test_a_write_that_fails_leaves_no_file(tmp_path: Path) -> None:
    store, folder = folder_store(tmp_path)
    # The second month cannot be staged: a file stands where its folder should be.
    (folder / "year=2013" / "month=05").write_text("in the way")
    before = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = ROWS.head(2).with_columns(event_timestamp=pl.Series([at(0), at(4 * MONTH)]))
    with pytest.raises(OSError, match="month=05"):
        append_to_source(rows.to_arrow(), store.get_feature_view("v").batch_source, tmp_path)
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == before


def test_progress_counts_the_rows_and_no_rows_make_no_file(tmp_path: Path) -> None:
    store, folder = folder_store(tmp_path)
    features = store.get_feature_view("v")
    written: list[int] = []
    for rows in (ROWS.head(0), ROWS.head(3)):
        PolarsAsofOfflineStore.offline_write_batch(
            store.config, features, rows.to_arrow(), written.append
        )
    assert written == [0, 3]
    assert len(list(folder.rglob("*.parquet"))) == 2


def test_appending_to_a_single_file_is_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", ROWS)
    source = FileSource(path=str(path), timestamp_field="event_timestamp")
    with pytest.raises(UnsupportedRequestError, match=r"single file 't\.parquet'"):
        append_to_source(ROWS.to_arrow(), source, None)


def test_what_is_in_an_object_store_is_not_written_to() -> None:
    source = FileSource(name="far", path="s3://tables/t", timestamp_field="event_timestamp")
    with pytest.raises(UnsupportedRequestError, match="expected a file or folder of this machine"):
        append_to_source(ROWS.to_arrow(), source, None)


def test_pulls_return_one_chunk_because_feast_writes_only_the_first(tmp_path: Path) -> None:
    folder = write_months(
        tmp_path / "lake", ROWS.with_columns(pl.col("event_timestamp").dt.offset_by("20d"))
    )
    for part in range(3):
        write_table(folder / "year=2013" / "month=02" / f"part-{part}.parquet", ROWS)
    objects = [CARRIER, view("v", folder, [CARRIER], {"delay": Float64})]
    store = feature_store(tmp_path, objects)
    table: pa.Table = PolarsAsofOfflineStore.pull_all_from_table_or_query(
        store.config,
        store.get_feature_view("v").batch_source,
        ["carrier"],
        ["delay"],
        "event_timestamp",
        "created",
    ).to_arrow()
    assert table.num_rows == 4 * ROWS["carrier"].count()
    assert len(table.to_batches()) == 1
