"""The entity frame: what is accepted, what comes back, what is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from feast import FeatureStore
from feast.errors import FeatureNameCollisionError

from tests.support.feast_repos import at
from zeroskew.features.offline_store.errors import (
    EntityRowError,
    OfflineStoreError,
    SourceError,
    UnsupportedRequestError,
)

StoreOf = Callable[..., FeatureStore]
ROWS = [("a", 1.0, at(10), at(10)), ("a", 2.0, at(20), at(20)), ("7", 7.0, at(10), at(10))]
REFS = ["v:value"]
NEW_YORK = "America/New_York"


def values(store: FeatureStore, frame: object) -> list[Any]:
    job = store.get_historical_features(frame, REFS)
    column: list[Any] = job.to_arrow().column("value").to_pylist()
    return column


TIMESTAMPS = {
    "naive": pd.Series([datetime(2013, 1, 1, 0, 10)]),  # noqa: DTZ001 -- naive on purpose.
    "utc": pd.Series([at(10)]),
    "another zone": pd.Series([pd.Timestamp("2012-12-31 19:10", tz=NEW_YORK)]),
    "text": pd.Series(["2012-12-31T19:10:00-05:00"]),
    "seconds": pd.Series(np.array(["2013-01-01T00:10:00"], dtype="datetime64[s]")),
    "milliseconds": pd.Series(np.array(["2013-01-01T00:10:00"], dtype="datetime64[ms]")),
    "nanoseconds": pd.Series(np.array(["2013-01-01T00:10:00.000000999"], dtype="datetime64[ns]")),
    "python objects": pd.Series([at(10)], dtype=object),
}


@pytest.mark.parametrize("timestamps", TIMESTAMPS.values(), ids=TIMESTAMPS.keys())
def test_one_instant_written_in_any_way_gets_one_value(
    store_of: StoreOf, timestamps: pd.Series[Any]
) -> None:
    assert values(store_of(ROWS), pd.DataFrame({"key": "a", "event_timestamp": timestamps})) == [
        1.0
    ]


def test_pandas_index_order_and_other_columns_are_kept(store_of: StoreOf) -> None:
    frame = pd.DataFrame(
        {
            "note": ["x", None, "z"],
            "key": ["a", "a", "b"],
            "event_timestamp": [at(30), at(10), at(10)],
        },
        index=pd.Index([5, 5, 1], name="flight"),
    )
    got = store_of(ROWS).get_historical_features(frame, REFS).to_df()
    assert list(got.columns) == ["note", "key", "event_timestamp", "value"]
    assert got.index.equals(frame.index)
    assert got.index.name == "flight"
    assert got["note"].tolist() == ["x", None, "z"]
    assert got["value"].tolist()[:2] == [2.0, 1.0]
    assert np.isnan(got["value"].iloc[2])


def test_the_callers_frame_is_not_changed(store_of: StoreOf) -> None:
    frame = pd.DataFrame({"key": ["a"], "event_timestamp": [at(10)]}, index=[3])
    before = frame.copy(deep=True)
    store_of(ROWS).get_historical_features(frame, REFS).to_df()
    pd.testing.assert_frame_equal(frame, before)


def test_the_only_timestamp_column_is_the_event_timestamp_and_keeps_its_name(
    store_of: StoreOf,
) -> None:
    frame = pd.DataFrame({"key": ["a"], "asked_at": [at(25)]})
    got = store_of(ROWS).get_historical_features(frame, REFS).to_arrow()
    assert got.column_names == ["key", "asked_at", "value"]
    assert got.column("value").to_pylist() == [2.0]


@pytest.mark.parametrize("convert", [pl.DataFrame, lambda frame: pl.DataFrame(frame).to_arrow()])
def test_polars_and_arrow_frames_are_labels_too(
    store_of: StoreOf, convert: Callable[[dict[str, list[Any]]], object]
) -> None:
    assert values(store_of(ROWS), convert({"key": ["a"], "event_timestamp": [at(10)]})) == [1.0]


@pytest.mark.parametrize(
    "keys",
    [
        pd.Series(["a", None], dtype="category"),
        pd.Series(["a", None], dtype="string"),
        pd.Series(["a", None]).astype(pd.ArrowDtype(pa.large_string())),
    ],
    ids=["category", "string", "large_string"],
)
def test_text_keys_of_any_type_match(store_of: StoreOf, keys: pd.Series[Any]) -> None:
    frame = pd.DataFrame({"key": keys, "event_timestamp": [at(10), at(10)]})
    assert values(store_of(ROWS), frame) == [1.0, None]


@pytest.mark.parametrize("source", [pl.Int32(), pl.Int64(), pl.UInt16()])
@pytest.mark.parametrize("label", ["int16", "int32", "int64", "uint64", "Int64", "float64"])
def test_whole_keys_of_any_width_match(store_of: StoreOf, source: pl.DataType, label: str) -> None:
    store = store_of([(7, 1.0, at(0), at(0))], schema={"key": source})
    frame = pd.DataFrame(
        {
            "key": pd.Series([7, 8]).astype(pd.api.types.pandas_dtype(label)),
            "event_timestamp": at(10),
        }
    )
    assert values(store, frame) == [1.0, None]


def test_a_missing_whole_key_in_a_float_column_matches_nothing(store_of: StoreOf) -> None:
    store = store_of(
        [(7, 1.0, at(0), at(0)), (None, 2.0, at(0), at(0))], schema={"key": pl.Int64()}
    )
    frame = pd.DataFrame({"key": [7.0, float("nan")], "event_timestamp": at(10)})
    assert values(store, frame) == [1.0, None]


def test_a_label_column_of_nulls_only_matches_nothing(store_of: StoreOf) -> None:
    frame = pd.DataFrame({"key": [None, None], "event_timestamp": at(10)})
    assert values(store_of(ROWS), frame) == [None, None]


@pytest.mark.parametrize("keys", [[7], [7.5], [True], [at(0)]], ids=str)
def test_keys_that_cannot_be_compared_are_refused(store_of: StoreOf, keys: list[Any]) -> None:
    frame = pd.DataFrame({"key": keys, "event_timestamp": [at(10)]})
    with pytest.raises(OfflineStoreError, match=r"join key 'key'.*String.*view 'v'"):
        values(store_of(ROWS), frame)


def test_a_broken_float_key_against_whole_keys_is_refused(store_of: StoreOf) -> None:
    store = store_of([(7, 1.0, at(0), at(0))], schema={"key": pl.Int64()})
    frame = pd.DataFrame({"key": [7.5], "event_timestamp": [at(10)]})
    with pytest.raises(SourceError, match=r"Got 7\.5 among Float64 in column 'key'"):
        values(store, frame)


GOOD = {"key": ["a"], "event_timestamp": [at(10)]}
BAD_FRAMES: dict[str, tuple[pd.DataFrame, str]] = {
    "no key": (pd.DataFrame({"event_timestamp": [at(10)]}), "'key', a join key of view 'v'"),
    "no timestamp": (pd.DataFrame({"key": ["a"]}), "timestamp columns \\[\\]"),
    "two timestamps": (
        pd.DataFrame({"key": ["a"], "t": [at(10)], "u": [at(10)]}),
        "timestamp columns \\['t', 'u'\\]",
    ),
    "null timestamp": (
        pd.DataFrame({"key": ["a", "a"], "event_timestamp": [at(10), pd.NaT]}),
        "1 null timestamps",
    ),
    "number as timestamp": (pd.DataFrame({"key": ["a"], "event_timestamp": [1]}), "Got int64"),
    "text that is no instant": (
        pd.DataFrame({"key": ["a"], "event_timestamp": ["soon"]}),
        "expected ISO 8601",
    ),
    "a column twice": (pd.DataFrame(GOOD)[["key", "key", "event_timestamp"]], "\\['key'\\] twice"),
    "mixed types": (
        pd.DataFrame({"key": ["a", 1], "event_timestamp": [at(10), at(10)]}),
        "several types in label column 'key'",
    ),
    "a feature's name": (pd.DataFrame({**GOOD, "value": [1.0]}), "\\['value'\\] from more than"),
}


@pytest.mark.parametrize(("frame", "message"), BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
def test_bad_labels_are_refused_by_name(
    store_of: StoreOf, frame: pd.DataFrame, message: str
) -> None:
    with pytest.raises(EntityRowError, match=message):
        values(store_of(ROWS), frame)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"entity_df": "SELECT 1"}, "Got SQL"),
        ({"start_date": at(0), "end_date": at(1)}, "Got no entity_df"),
        ({"entity_df": [1]}, "type list"),
    ],
    ids=["sql", "dates", "list"],
)
def test_requests_it_does_not_serve_are_refused(
    store_of: StoreOf, request_: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnsupportedRequestError, match=message):
        store_of(ROWS).get_historical_features(features=REFS, **request_)


def test_feast_refuses_one_feature_asked_twice(store_of: StoreOf) -> None:
    with pytest.raises(FeatureNameCollisionError):
        store_of(ROWS).get_historical_features(pd.DataFrame(GOOD), [*REFS, *REFS])


def test_a_timeout_is_refused(store_of: StoreOf) -> None:
    job = store_of(ROWS).get_historical_features(pd.DataFrame(GOOD), REFS)
    with pytest.raises(UnsupportedRequestError, match="timeout=1"):
        job.to_arrow(timeout=1)


def test_feasts_flag_turns_the_cutoff_on_and_the_option_decides_otherwise(
    store_of: StoreOf,
) -> None:
    rows = [("a", 1.0, at(10), at(10)), ("a", 2.0, at(20), at(60))]
    frame = pd.DataFrame({"key": ["a"], "event_timestamp": [at(30)]})
    off = store_of(rows, options={"filter_by_created_timestamp": False})
    asked_for = off.get_historical_features(frame, REFS, filter_by_created_timestamp=True)
    assert values(off, frame) == [2.0]
    assert asked_for.to_df()["value"].tolist() == [1.0]
    assert values(store_of(rows), frame) == [1.0]


def test_metadata_tells_what_was_asked_for(store_of: StoreOf) -> None:
    frame = pd.DataFrame({"key": ["a", "a"], "event_timestamp": [at(20), at(10)]})
    metadata = store_of(ROWS).get_historical_features(frame, REFS).metadata
    assert metadata is not None
    assert metadata.features == REFS
    assert metadata.keys == ["key"]
    assert metadata.max_event_timestamp - metadata.min_event_timestamp == timedelta(minutes=10)
