"""All labels of a year and five views against DuckDB, row by row."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.support.feast_repos import feature_store
from tests.support.synthetic_flights import LAKE_VIEWS, definitions, labels, write_lake
from tests.zeroskew.features.offline_store.duckdb_reference import (
    ReferenceView,
    count_differences,
    reference_features,
)

REFS = [f"{view.name}:{feature}" for view in LAKE_VIEWS for feature in view.features]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("lake"))


@pytest.mark.parametrize("cutoff", [True, False], ids=["created-cutoff", "no-cutoff"])
def test_every_label_equals_the_reference_read_at_once_and_in_slices(
    lake: Path, tmp_path: Path, cutoff: bool
) -> None:
    flights = labels()
    expected = pl.concat(
        [
            reference_features(
                flights,
                ReferenceView(view.name, lake / view.name, view.keys, view.features, view.ttl),
                created_cutoff=cutoff,
            )
            for view in LAKE_VIEWS
        ],
        how="horizontal",
    )
    assert all(50_000 < expected[name].count() < 336_776 for name in expected.columns)

    for max_slice_rows in (1_000_000, 5_000):
        options = {"max_slice_rows": max_slice_rows, "filter_by_created_timestamp": cutoff}
        store = feature_store(tmp_path, definitions(lake), offline_store=options)
        job = store.get_historical_features(flights.to_pandas(), REFS)
        got = pl.DataFrame(job.to_arrow())

        assert got.height == 336_776
        assert got.select(flights.columns).cast(flights.schema).equals(flights)
        assert count_differences(got, expected, expected.columns) == dict.fromkeys(
            expected.columns, 0
        )
