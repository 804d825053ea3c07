"""Part files that do not belong together, and files that are no Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import FeatureStore
from feast.types import Float64

from tests.support.feast_repos import at, entity, feature_store, view, write_table
from zeroskew.features.offline_store.errors import (
    EntityRowError,
    SourceError,
    UnsupportedRequestError,
)

KEY = entity("key")
ROWS = pl.DataFrame(
    [("a", 1.0, at(0), at(0)), ("a", 2.0, at(10), at(10)), ("b", 3.0, at(5), at(5))],
    schema={
        "key": pl.String,
        "value": pl.Float64,
        "event_timestamp": pl.Datetime("us", "UTC"),
        "created": pl.Datetime("us", "UTC"),
    },
    orient="row",
)
LABELS = pl.DataFrame({"key": ["a", "b"], "event_timestamp": [at(20), at(20)]})
AT_ONCE: dict[str, Any] = {}
IN_SLICES = {"max_slice_rows": 1}


def store_over(
    path: Path, options: dict[str, Any] | None = None, **definition: Any
) -> FeatureStore:
    features = view("v", path, [KEY], {"value": Float64}, **definition)
    return feature_store(path.parent, [KEY, features], offline_store=options)


def ask(store: FeatureStore, labels: pl.DataFrame = LABELS) -> list[float | None]:
    joined = store.get_historical_features(labels, ["v:value"]).to_arrow()
    values: list[float | None] = joined.column("value").to_pylist()
    return values


def parquet_bytes(folder: Path, rows: pl.DataFrame) -> bytes:
    return write_table(folder / "aside" / "rows.parquet", rows).read_bytes()


@pytest.mark.parametrize("options", [AT_ONCE, IN_SLICES], ids=["at-once", "in-slices"])
@pytest.mark.parametrize("missing", ["key", "value", "event_timestamp", "created"])
def test_a_part_file_that_lacks_a_column_is_refused(
    tmp_path: Path, missing: str, options: dict[str, Any]
) -> None:
    folder = write_table(tmp_path / "lake" / "a.parquet", ROWS).parent
    store = store_over(folder, options)
    write_table(folder / "b.parquet", ROWS.drop(missing))
    with pytest.raises(SourceError, match=rf"file 'b\.parquet' of source 'v_source'.*{missing}"):
        ask(store)


def test_part_files_may_hold_columns_that_the_first_does_not(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "lake" / "a.parquet", ROWS.head(1)).parent
    write_table(folder / "b.parquet", ROWS.tail(2).with_columns(gate=pl.lit("A1")))
    assert ask(store_over(folder)) == [2.0, 3.0]


@pytest.mark.parametrize(
    "column",
    [
        pl.col("value").cast(pl.String),
        pl.lit(7).alias("key"),
        pl.col("event_timestamp").cast(pl.String),
    ],
    ids=["text-for-a-number", "number-for-text", "text-for-an-instant"],
)
def test_a_part_file_of_other_types_is_refused(tmp_path: Path, column: pl.Expr) -> None:
    folder = write_table(tmp_path / "lake" / "a.parquet", ROWS).parent
    store = store_over(folder)
    write_table(folder / "b.parquet", ROWS.with_columns(column))
    with pytest.raises(SourceError, match=r"in file 'b\.parquet' of .*as in 'a\.parquet'"):
        ask(store)


@pytest.mark.parametrize("options", [AT_ONCE, IN_SLICES], ids=["at-once", "in-slices"])
@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_a_truncated_part_file_is_refused(
    tmp_path: Path, kept: float, options: dict[str, Any]
) -> None:
    folder = write_table(tmp_path / "lake" / "a.parquet", ROWS).parent
    store = store_over(folder, options)
    whole = parquet_bytes(tmp_path, ROWS)
    (folder / "b.parquet").write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(SourceError, match=r"file 'b\.parquet' of source 'v_source'"):
        ask(store)
    with pytest.raises(SourceError, match=r"file 'b\.parquet' of source 'v_source'"):
        store.materialize(at(-1), at(100))


def test_an_only_file_that_is_truncated_is_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", ROWS)
    store = store_over(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"file 't\.parquet' of source 'v_source'"):
        ask(store)


def test_damage_inside_a_file_is_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", ROWS)
    store = store_over(path)
    content = bytearray(path.read_bytes())
    content[4:200] = b"\xff" * 196
    path.write_bytes(content)
    with pytest.raises(SourceError, match="'v_source'"):
        ask(store)


def test_a_negative_ttl_is_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", ROWS)
    store = store_over(path, ttl=at(0) - at(5))
    with pytest.raises(UnsupportedRequestError, match="ttl of -300 s"):
        ask(store)


def test_labels_beyond_the_calendar_are_refused(tmp_path: Path) -> None:
    store = store_over(write_table(tmp_path / "t.parquet", ROWS))
    far = pl.Series([2**60, 0]).cast(pl.Datetime("us", "UTC"))
    with pytest.raises(EntityRowError, match="expected the years 1 to 9999"):
        ask(store, LABELS.with_columns(event_timestamp=far))


@pytest.mark.parametrize("far", [-(2**62), 2**62])
def test_rows_beyond_the_calendar_are_sliced_like_others(tmp_path: Path, far: int) -> None:
    lost = ROWS.head(1).with_columns(
        event_timestamp=pl.lit(far).cast(pl.Datetime("us", "UTC")), value=pl.lit(9.0)
    )
    path = write_table(tmp_path / "t.parquet", pl.concat([ROWS, lost]))
    store = store_over(path, IN_SLICES)
    assert ask(store) == [2.0, 3.0]
