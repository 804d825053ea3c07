"""A repository with one small table, asked in one line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import FeatureStore
from feast.types import Float64

from tests.support.feast_repos import entity, feature_store, view, write_table

Rows = list[tuple[Any, ...]]
Ask = Callable[..., list[Any]]

SCHEMA = {
    "key": pl.String(),
    "value": pl.Float64(),
    "event_timestamp": pl.Datetime("us", "UTC"),
    "created": pl.Datetime("us", "UTC"),
}


@pytest.fixture
def store_of(tmp_path: Path) -> Callable[..., FeatureStore]:
    """Return a store over one view ``v`` of rows ``(key, value, event, created)``."""

    def build(
        rows: Rows,
        *,
        ttl: timedelta | None = None,
        schema: dict[str, pl.DataType] | None = None,
        options: dict[str, Any] | None = None,
    ) -> FeatureStore:
        table = pl.DataFrame(rows, schema={**SCHEMA, **(schema or {})}, orient="row")
        path = write_table(tmp_path / "rows.parquet", table)
        key = entity("key")
        features = view("v", path, [key], {"value": Float64}, ttl=ttl)
        return feature_store(tmp_path, [key, features], offline_store=options)

    return build


@pytest.fixture
def ask(store_of: Callable[..., FeatureStore]) -> Ask:
    """Return the values that labels ``(key, time)`` get from the rows, in order."""

    def values(rows: Rows, labels: Rows, **definition: Any) -> list[Any]:
        schema = {name: SCHEMA[name] for name in ("key", "event_timestamp")}
        frame = pl.DataFrame(labels, schema=schema, orient="row")
        job = store_of(rows, **definition).get_historical_features(frame, ["v:value"])
        return job.to_arrow().column("value").to_pylist()

    return values
