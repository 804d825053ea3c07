"""Feast repositories whose online stores Feast itself writes, SQLite unless told otherwise."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import VALUE_TYPES_TO_FEAST_TYPES

from tests.support.redis_servers import RedisServer
from zeroskew.contract.time.utc_process import live_in_utc

ARROW_TYPES: Final = {
    "BOOL": pa.bool_(),
    "BYTES": pa.binary(),
    "DOUBLE": pa.float64(),
    "FLOAT": pa.float32(),
    "IMAGE_BYTES": pa.binary(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "PDF_BYTES": pa.binary(),
    "UNIX_TIMESTAMP": pa.timestamp("us", tz="UTC"),
}
NEWEST_STORES: Final = {
    "sqlite": "zeroskew.features.online_store.newest_sqlite.NewestSqliteOnlineStore",
    "redis": "zeroskew.features.online_store.newest_redis.NewestRedisOnlineStore",
}
EVENT_TIME: Final = datetime(2013, 10, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class ViewSpec:
    """A feature view by the names of Feast's value types."""

    name: str
    keys: Mapping[str, str]
    features: Mapping[str, str]
    ttl: timedelta | None = None


@dataclass(frozen=True)
class Online:
    """An online store: how Feast is told of it, and how the service is."""

    config: dict[str, Any]
    url: str


@contextmanager
def open_online(kind: str, folder: Path) -> Iterator[Online]:
    """Provide an empty online store, ``sqlite`` or a ``redis`` server of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "sqlite":
        path = str(folder / "online.db")
        with _host_in_utc():
            yield Online({"type": "sqlite", "path": path}, f"sqlite:///{path}")
        return
    with RedisServer(folder) as server:
        yield Online({"type": "redis", "connection_string": f"127.0.0.1:{server.port}"}, server.url)


@contextmanager
def _host_in_utc() -> Iterator[None]:
    """Make UTC the zone of this process: Feast's own store counts in local time."""
    before = os.environ.get("TZ")
    live_in_utc()
    try:
        yield
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


def make_store(
    folder: Path, views: Sequence[ViewSpec], online_store: Mapping[str, Any] | None = None
) -> FeatureStore:
    """Apply `views` to a new repository; if unsaid, ``online.db`` in `folder` is online."""
    folder.mkdir(parents=True, exist_ok=True)
    store = FeatureStore(
        config=RepoConfig(
            project="trial",
            provider="local",
            registry=str(folder / "registry.db"),
            online_store=dict(
                online_store or {"type": NEWEST_STORES["sqlite"], "path": str(folder / "online.db")}
            ),
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
        [(name, ARROW_TYPES.get(kind, pa.string())) for name, kind in columns.items()]
        + [("event_timestamp", pa.timestamp("us", tz="UTC"))]
    )
    path = folder / f"{view.name}.parquet"
    pq.write_table(schema.empty_table(), path)
    return FeatureView(
        name=view.name,
        entities=[entities[key] for key in view.keys],
        ttl=view.ttl or timedelta(0),
        schema=[
            Field(name=name, dtype=VALUE_TYPES_TO_FEAST_TYPES[ValueType[kind]])
            for name, kind in columns.items()
        ],
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


@dataclass(frozen=True)
class ProtoRow:
    """A row in Feast's own messages: what can be stored, whatever a table can hold."""

    keys: Mapping[str, Value]
    values: Mapping[str, Value]
    event_time: datetime
    created: datetime | None = None


def write_protos(store: FeatureStore, view: str, rows: Sequence[ProtoRow]) -> None:
    """Write rows online as materialization does once it has converted a table."""
    data = [
        (
            EntityKey(join_keys=list(row.keys), entity_values=list(row.keys.values())),
            dict(row.values),
            row.event_time,
            row.created,
        )
        for row in rows
    ]
    provider = store._get_provider()
    provider.online_write_batch(store.config, store.get_feature_view(view), data, None)
