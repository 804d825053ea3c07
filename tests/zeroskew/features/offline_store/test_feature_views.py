"""What Feast's definitions may say, and what the store makes of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource
from feast.data_format import DeltaFormat
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float32, Float64, Int32, Int64, String, UnixTimestamp
from pydantic import ValidationError

from tests.support.feast_repos import ASOF_STORE, at, entity, feature_store, view, write_months
from tests.support.feast_repos import write_table as write
from zeroskew.features.offline_store.errors import SourceError, UnsupportedRequestError
from zeroskew.features.offline_store.polars_asof import PolarsAsofOfflineStoreConfig

CARRIER, ORIGIN = entity("carrier"), entity("origin")
TABLE = pl.DataFrame(
    {
        "carrier": ["UA", "AA"],
        "origin": ["EWR", "JFK"],
        "delay": [1.0, 2.0],
        "event_timestamp": [at(10), at(10)],
        "created": [at(10), at(10)],
    }
)


def answer(store: FeatureStore, labels: dict[str, Any], refs: Any, **options: Any) -> pl.DataFrame:
    frame = pd.DataFrame({**labels, "event_timestamp": at(20)})
    got = pl.DataFrame(store.get_historical_features(frame, refs, **options).to_arrow())
    return got.drop("event_timestamp", *labels)


def test_full_feature_names_carry_the_view(tmp_path: Path) -> None:
    delays = view("delays", write(tmp_path / "t.parquet", TABLE), [CARRIER], {"delay": Float64})
    store = feature_store(tmp_path, [CARRIER, delays])
    got = answer(store, {"carrier": ["UA"]}, ["delays:delay"], full_feature_names=True)
    assert got.to_dict(as_series=False) == {"delays__delay": [1.0]}


def test_one_view_joined_twice_under_aliases(tmp_path: Path) -> None:
    airport = entity("airport")
    table = TABLE.rename({"origin": "airport"})
    weather = view("weather", write(tmp_path / "t.parquet", table), [airport], {"delay": Float64})
    at_origin = weather.with_name("at_origin").with_join_key_map({"airport": "origin"})
    at_dest = weather.with_name("at_dest").with_join_key_map({"airport": "dest"})
    service = FeatureService(name="both", features=[at_origin, at_dest])
    store = feature_store(tmp_path, [airport, weather, service])
    labels = {"origin": ["EWR", "JFK"], "dest": ["JFK", "LAX"]}
    got = answer(store, labels, store.get_feature_service("both"), full_feature_names=True)
    assert got.to_dict(as_series=False) == {
        "at_origin__delay": [1.0, 2.0],
        "at_dest__delay": [2.0, None],
    }


def test_mapped_fields_are_read_under_their_own_names(tmp_path: Path) -> None:
    table = TABLE.rename({"carrier": "c", "delay": "d", "event_timestamp": "t", "created": "w"})
    mapping = {"c": "carrier", "d": "delay", "t": "event_timestamp", "w": "created"}
    path = write(tmp_path / "t.parquet", table)
    delays = view("delays", path, [CARRIER], {"delay": Float64}, field_mapping=mapping)
    store = feature_store(tmp_path, [CARRIER, delays])
    got = answer(store, {"carrier": ["AA"]}, ["delays:delay"])
    assert got.to_dict(as_series=False) == {"delay": [2.0]}


def test_a_view_without_an_entity_belongs_to_every_label(tmp_path: Path) -> None:
    table = TABLE.with_columns(event_timestamp=pl.Series([at(10), at(15)]))
    fuel = view("fuel", write(tmp_path / "t.parquet", table), [], {"delay": Float64}, created="")
    store = feature_store(tmp_path, [fuel])
    got = answer(store, {"note": ["x", "y"]}, ["fuel:delay"])
    assert got.to_dict(as_series=False) == {"delay": [2.0, 2.0]}


def test_composite_keys_do_not_collide(tmp_path: Path) -> None:
    table = pl.concat([TABLE.head(1)] * 2).with_columns(
        carrier=pl.Series(["A", "AB"]), origin=pl.Series(["BC", "C"]), delay=pl.Series([1.0, 2.0])
    )
    keys = [ORIGIN, CARRIER]
    routes = view("routes", write(tmp_path / "t.parquet", table), keys, {"delay": Float64})
    store = feature_store(tmp_path, [*keys, routes])
    labels = {"carrier": ["AB", "A"], "origin": ["C", "BC"]}
    assert answer(store, labels, ["routes:delay"])["delay"].to_list() == [2.0, 1.0]


def test_on_demand_features_see_the_joined_ones_and_the_request(tmp_path: Path) -> None:
    delays = view("delays", write(tmp_path / "t.parquet", TABLE), [CARRIER], {"delay": Float64})

    @on_demand_feature_view(
        sources=[delays], schema=[Field(name="in_seconds", dtype=Float64)], mode="pandas"
    )
    def delay_in_seconds(inputs: pd.DataFrame) -> pd.DataFrame:
        import pandas

        return pandas.DataFrame({"in_seconds": inputs["delay"] * 60})

    store = feature_store(tmp_path, [CARRIER, delays, delay_in_seconds])
    refs = ["delays:delay", "delay_in_seconds:in_seconds"]
    got = answer(store, {"carrier": ["AA", "??"]}, refs)
    assert got["in_seconds"].to_list()[0] == 120.0
    only = answer(store, {"carrier": ["AA"]}, ["delay_in_seconds:in_seconds"])
    assert only["in_seconds"].to_list() == [120.0]


def test_a_push_source_is_read_through_its_batch_source(tmp_path: Path) -> None:
    source = FileSource(path=str(write(tmp_path / "t.parquet", TABLE)), timestamp_field="created")
    pushed = FeatureView(
        name="pushed",
        entities=[CARRIER],
        ttl=timedelta(0),
        schema=[Field(name="delay", dtype=Float64)],
        source=PushSource(name="push", batch_source=source),
    )
    store = feature_store(tmp_path, [CARRIER, pushed])
    assert answer(store, {"carrier": ["UA"]}, ["pushed:delay"])["delay"].to_list() == [1.0]


def test_a_hive_folder_is_read_and_months_out_of_reach_are_not(tmp_path: Path) -> None:
    table = pl.concat([TABLE, TABLE.with_columns(pl.col("event_timestamp").dt.offset_by("6mo"))])
    folder = write_months(tmp_path / "lake", table)
    delays = view("delays", folder, [CARRIER], {"delay": Float64}, ttl=timedelta(days=1))
    store = feature_store(tmp_path, [CARRIER, delays])
    july = folder / "year=2013" / "month=07" / "part-0.parquet"
    footer = pq.ParquetFile(july).metadata
    end = footer.row_group(0).column(0).data_page_offset + 4
    july.write_bytes(b"PAR1" + b"\xff" * (end - 4) + july.read_bytes()[end:])
    assert answer(store, {"carrier": ["UA"]}, ["delays:delay"])["delay"].to_list() == [1.0]


def test_hidden_files_and_those_being_written_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    write(folder / "part-0.parquet", TABLE)
    newer = TABLE.with_columns(delay=pl.lit(9.0), event_timestamp=pl.lit(at(15)))
    for name in (".part-1.parquet", "_part-1.parquet", ".hidden/part-1.parquet"):
        write(folder / name, newer)
    (folder / ".part-2.parquet.tmp").write_bytes(b"PAR1")
    delays = view("delays", folder, [CARRIER], {"delay": Float64})
    store = feature_store(tmp_path, [CARRIER, delays])
    assert answer(store, {"carrier": ["UA"]}, ["delays:delay"])["delay"].to_list() == [1.0]


@pytest.mark.parametrize(
    ("stored", "declared", "arrow"),
    [
        (pl.Series([0.1]), Float32, pa.array([0.1], pa.float32())),
        (pl.Series([3.0]), Int64, pa.array([3], pa.int64())),
        (pl.Series([3], dtype=pl.Int64), Int32, pa.array([3], pa.int32())),
        (pl.Series([3], dtype=pl.UInt8), Float64, pa.array([3.0], pa.float64())),
        (pl.Series(["x"], dtype=pl.Categorical), String, pa.array(["x"], pa.string())),
        (pl.Series([[1.5]]), Array(Float32), pa.array([[1.5]], pa.list_(pa.float32()))),
        (
            pl.Series([at(1)], dtype=pl.Datetime("ns", "UTC")),
            UnixTimestamp,
            pa.array([at(1)], pa.timestamp("us", "UTC")),
        ),
    ],
    ids=str,
)
def test_a_feature_comes_back_in_its_declared_type(
    tmp_path: Path, stored: pl.Series, declared: Any, arrow: pa.Array
) -> None:
    path = write(tmp_path / "t.parquet", TABLE.head(1).with_columns(delay=stored))
    store = feature_store(tmp_path, [CARRIER, view("v", path, [CARRIER], {"delay": declared})])
    frame = pd.DataFrame({"carrier": ["UA"], "event_timestamp": [at(20)]})
    column = store.get_historical_features(frame, ["v:delay"]).to_arrow().column("delay")
    assert column.type == arrow.type
    assert column.combine_chunks().equals(arrow) or column.to_pylist() == arrow.to_pylist()


@pytest.mark.parametrize(
    ("stored", "declared"),
    [
        (pl.Series([1.5]), Int64),
        (pl.Series([2**40]), Int32),
        (pl.Series(["x"]), Float64),
        (pl.Series([1.0]), String),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_its_declared_type_is_refused(
    tmp_path: Path, stored: pl.Series, declared: Any
) -> None:
    path = write(tmp_path / "t.parquet", TABLE.head(1).with_columns(delay=stored))
    store = feature_store(tmp_path, [CARRIER, view("v", path, [CARRIER], {"delay": declared})])
    with pytest.raises(SourceError, match="column 'delay'"):
        answer(store, {"carrier": ["UA"]}, ["v:delay"])


BAD_SOURCES = {
    "delta": (
        lambda path: FileSource(path=path, timestamp_field="t", file_format=DeltaFormat()),
        UnsupportedRequestError,
        "DeltaFormat",
    ),
    "endpoint": (
        lambda path: FileSource(
            path=path, timestamp_field="event_timestamp", s3_endpoint_override="http://s3.test"
        ),
        UnsupportedRequestError,
        "AWS_ENDPOINT_URL",
    ),
    "missing": (
        lambda path: FileSource(path=f"{path}.gone", timestamp_field="event_timestamp"),
        SourceError,
        "no Parquet file",
    ),
    "no timestamp": (
        lambda path: FileSource(path=path, timestamp_field="when"),
        SourceError,
        "'when' as its event timestamp",
    ),
    "text as timestamp": (
        lambda path: FileSource(path=path, timestamp_field="carrier"),
        SourceError,
        "String in column 'carrier'",
    ),
    "no created": (
        lambda path: FileSource(
            path=path, timestamp_field="event_timestamp", created_timestamp_column="written"
        ),
        SourceError,
        "'written' as its created timestamp",
    ),
}


@pytest.mark.parametrize(("build", "error", "message"), BAD_SOURCES.values(), ids=BAD_SOURCES)
def test_sources_it_cannot_read_are_refused(
    tmp_path: Path, build: Any, error: type[Exception], message: str
) -> None:
    path = write(tmp_path / "t.parquet", TABLE)
    store = feature_store(tmp_path, [CARRIER, view("v", path, [CARRIER], {"delay": Float64})])
    broken = store.get_feature_view("v")
    broken.batch_source = build(str(path))
    provider = store._get_provider()
    with pytest.raises(error, match=message):
        provider.get_historical_features(
            store.config,
            [broken],
            ["v:delay"],
            TABLE.select("carrier", "event_timestamp"),
            store.registry,
            store.project,
            full_feature_names=False,
        )


@pytest.mark.parametrize("missing", ["carrier", "delay"])
def test_a_table_without_a_declared_column_is_refused(tmp_path: Path, missing: str) -> None:
    path = write(tmp_path / "t.parquet", TABLE)
    store = feature_store(tmp_path, [CARRIER, view("v", path, [CARRIER], {"delay": Float64})])
    write(path, TABLE.drop(missing))
    with pytest.raises(SourceError, match=f"expected '{missing}'"):
        answer(store, {"carrier": ["UA"]}, ["v:delay"])


def test_options_are_validated() -> None:
    assert PolarsAsofOfflineStoreConfig(type=ASOF_STORE).filter_by_created_timestamp is True
    for bad in ({"slice_months": 0}, {"max_slice_rows": -1}, {"slices": 3}, {"type": "duckdb"}):
        with pytest.raises(ValidationError):
            PolarsAsofOfflineStoreConfig(**bad)


def test_a_result_is_saved_whole_and_not_overwritten_unasked(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", TABLE)
    store = feature_store(tmp_path, [CARRIER, view("v", path, [CARRIER], {"delay": Float64})])
    frame = pd.DataFrame({"carrier": ["UA"], "event_timestamp": [at(20)]})
    job = store.get_historical_features(frame, ["v:delay"])
    saved = SavedDatasetFileStorage(path="saved/set.parquet")
    job.persist(saved)
    assert pq.read_table(tmp_path / "saved" / "set.parquet").equals(job.to_arrow())
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        job.persist(saved)
    job.persist(saved, allow_overwrite=True)
    assert [file.name for file in (tmp_path / "saved").iterdir()] == ["set.parquet"]
    with pytest.raises(UnsupportedRequestError, match=r"the path of a \.parquet file"):
        job.persist(SavedDatasetFileStorage(path="folder"))
