from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.support.model_specs import tiny_spec
from training.dataset.build_dataset import Dataset, encode_columns, extract_request
from zeroskew.contract.errors.project import DatasetError, StepError
from zeroskew.contract.manifest import Column, FeaturePlan, RequestInput

NAN = float("nan")


def plan(*columns: Column, request_features: tuple[str, ...] = ()) -> FeaturePlan:
    return FeaturePlan(
        project="p",
        feature_service="s",
        views=(),
        columns=columns,
        request_inputs=(
            RequestInput(name="at", field="at"),
            RequestInput(name="open", field="open"),
            RequestInput(name="arrived", view="planes", feature="arrived"),
            RequestInput(name="share", view="planes", feature="share"),
        ),
        request_features=request_features,
    )


def tiny_dataset() -> Dataset:
    rows = pl.DataFrame(
        {
            "at": [datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC), None],
            "open": [True, None],
            "event_timestamp": [datetime(2024, 1, 1, tzinfo=UTC)] * 2,
        }
    )
    labels = pl.DataFrame(
        {
            "label_known_at": [datetime(2024, 1, 2, tzinfo=UTC)] * 2,
            "label": [1.0, 0.0],
            "span": ["train", "test"],
        }
    )
    features = pl.DataFrame({"amount": pl.Series([1.5, 2.5], dtype=pl.Float32)})
    instants = [
        datetime(2024, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC),
    ]
    stored = rows.with_columns(
        planes__arrived=pl.Series(instants),
        planes__share=pl.Series([0.1, None], dtype=pl.Float32),
    )
    coded = plan(Column(name="amount", field="amount"))
    return Dataset(
        rows=rows,
        labels=labels,
        features=features,
        plan=coded,
        request=extract_request(stored, coded.request_inputs),
        request_only=("clock__hour",),
    )


def test_categories_come_from_the_train_span_in_sorted_order() -> None:
    joined = pl.DataFrame({"shop": ["b", "a", "c", None, "a"]})
    train = pl.Series([True, True, False, True, False])
    coded_plan, features = encode_columns(joined, plan(Column(name="shop")), train=train)
    assert coded_plan.columns[0].categories == ("a", "b")
    np.testing.assert_array_equal(features["shop"].to_numpy(), [1.0, 0.0, NAN, NAN, 0.0])
    assert features["shop"].dtype == pl.Float32


def test_numbers_are_rounded_to_float32_and_nulls_are_nan() -> None:
    joined = pl.DataFrame(
        {"amount": [0.1, None, NAN], "late": [True, False, None], "hour": [23.5, 0.0, 1.0]}
    )
    columns = plan(Column(name="amount"), Column(name="late"), request_features=("hour",))
    _, features = encode_columns(joined, columns, train=pl.Series([True] * 3))
    assert features.columns == ["amount", "late", "hour"]
    np.testing.assert_array_equal(
        features.to_numpy(),
        np.array([[0.1, 1, 23.5], [NAN, 0, 0], [NAN, NAN, 1]], dtype=np.float32),
    )


def test_column_that_is_no_number_is_refused_by_name() -> None:
    joined = pl.DataFrame({"amount": [[1.0], [2.0]]})
    with pytest.raises(DatasetError, match="Got column 'amount' of type List"):
        encode_columns(joined, plan(Column(name="amount")), train=pl.Series([True, True]))


def test_request_matrix_holds_seconds_and_numbers() -> None:
    matrix = tiny_dataset().request_matrix("train", "test")
    assert matrix.dtype == np.float64
    widened = float(np.float32(0.1))
    np.testing.assert_array_equal(
        matrix, [[1704067200.000001, 1.0, 1704067200.0, widened], [NAN, NAN, -2.0, NAN]]
    )
    np.testing.assert_array_equal(tiny_dataset().request_matrix("test"), matrix[1:])


@pytest.mark.parametrize("names", [{}, {"at": "span", "open": "label"}, {"at": "span_"}])
def test_dataset_survives_saving(tmp_path: Path, names: dict[str, str]) -> None:
    dataset = tiny_dataset()
    dataset = replace(dataset, rows=dataset.rows.rename(names))
    dataset.save(tmp_path)
    loaded = Dataset.load(tmp_path)
    assert loaded.plan == dataset.plan
    assert loaded.rows.equals(dataset.rows)
    assert loaded.labels.equals(dataset.labels)
    assert loaded.features.equals(dataset.features)
    assert loaded.request.equals(dataset.request)
    assert loaded.request_only == dataset.request_only


def test_missing_dataset_names_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="run `zeroskew dataset` first"):
        Dataset.load(tmp_path)


def test_snapshot_changes_with_any_value() -> None:
    split = tiny_spec().split
    dataset = tiny_dataset()
    snapshot = dataset.snapshot(split)
    assert snapshot == tiny_dataset().snapshot(split)
    assert snapshot.rows == {"train": 1, "validation": 0, "test": 1}
    changed = dataset.features.with_columns((pl.col("amount") + 1e-6).cast(pl.Float32))
    assert replace(dataset, features=changed).snapshot(split).sha256 != snapshot.sha256
    seen = dataset.request.with_columns(pl.col("at") + 1e-6)
    assert replace(dataset, request=seen).snapshot(split).sha256 != snapshot.sha256
