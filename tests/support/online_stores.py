"""Feast online stores in SQLite, written by Feast itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp

FEAST_TYPES: Final = {
    "BOOL": Bool,
    "DOUBLE": Float64,
    "FLOAT": Float32,
    "INT32": Int32,
    "INT64": Int64,
    "STRING": String,
    "UNIX_TIMESTAMP": UnixTimestamp,
}
ARROW_TYPES: Final = {
    "BOOL": pa.bool_(),
    "DOUBLE": pa.float64(),
    "FLOAT": pa.float32(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "STRING": pa.string(),
    "UNIX_TIMESTAMP": pa.timestamp("us", tz="UTC"),
}
EVENT_TIME: Final = datetime(2013, 10, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class ViewSpec:
    """A feature view by the names of Feast's value types."""

    name: str
    keys: Mapping[str, str]
    features: Mapping[str, str]
    ttl: timedelta | None = None


def make_store(folder: Path, views: Sequence[ViewSpec]) -> FeatureStore:
    """Apply `views` to a new repository whose online store is ``online.db`` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    store = FeatureStore(
        config=RepoConfig(
            project="trial",
            provider="local",
            registry=str(folder / "registry.db"),
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            offline_store={"type": "file"},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )
    kinds = {key: kind for view in views for key, kind in view.keys.items()}
    entities = {
        key: Entity(name=key, join_keys=[key], value_type=ValueType[kind])
        for key, kind in kinds.items()
    }
    store.apply([*entities.values(), *(_make_view(folder, view, entities) for view in views)])
    return store


def _make_view(folder: Path, view: ViewSpec, entities: Mapping[str, Entity]) -> FeatureView:
    columns = {**view.keys, **view.features}
    schema = pa.schema(
        [(name, ARROW_TYPES[kind]) for name, kind in columns.items()]
        + [("event_timestamp", pa.timestamp("us", tz="UTC"))]
    )
    path = folder / f"{view.name}.parquet"
    pq.write_table(schema.empty_table(), path)
    return FeatureView(
        name=view.name,
        entities=[entities[key] for key in view.keys],
        ttl=view.ttl or timedelta(0),
        schema=[Field(name=name, dtype=FEAST_TYPES[kind]) for name, kind in columns.items()],
        source=FileSource(
            name=f"{view.name}_source", path=str(path), timestamp_field="event_timestamp"
        ),
    )


def write_rows(
    store: FeatureStore,
    view: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    event_time: datetime = EVENT_TIME,
) -> None:
    """Write rows of join keys and features online; a row's own ``event_timestamp`` wins."""
    # Objects, because a column of floats would round whole numbers beside a null.
    frame = pd.DataFrame([{"event_timestamp": event_time, **row} for row in rows], dtype=object)
    frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"], utc=True)
    store.write_to_online_store(view, df=frame)
