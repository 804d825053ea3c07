"""Small Feast repositories on disk: Parquet tables, a registry, a SQLite online store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import FeastType

from tests.support.online_stores import NEWEST_STORES

ASOF_STORE = "zeroskew.features.offline_store.polars_asof.PolarsAsofOfflineStore"

EPOCH_2013 = datetime(2013, 1, 1, tzinfo=UTC)


def at(minutes: float = 0, *, microseconds: int = 0) -> datetime:
    """Return the instant some minutes after the beginning of 2013, in UTC."""
    return EPOCH_2013 + timedelta(minutes=minutes, microseconds=microseconds)


def feature_store(
    folder: Path,
    objects: Sequence[Any],
    *,
    offline_store: Mapping[str, Any] | None = None,
    materialization: Mapping[str, Any] | None = None,
) -> FeatureStore:
    """Create a repository in ``folder`` and apply the definitions."""
    config = RepoConfig(
        project="trial",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": NEWEST_STORES["sqlite"], "path": str(folder / "online.db")},
        offline_store={"type": ASOF_STORE, **(offline_store or {})},
        materialization=dict(materialization or {}),
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    store = FeatureStore(config=config)
    store.apply(list(objects))
    return store


def entity(name: str, value_type: ValueType = ValueType.STRING) -> Entity:
    """Return an entity whose join key has its own name."""
    return Entity(name=name, join_keys=[name], value_type=value_type)


def write_table(path: Path, rows: pl.DataFrame) -> Path:
    """Write one Parquet file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(path)
    return path


def write_months(root: Path, rows: pl.DataFrame) -> Path:
    """Write a folder partitioned by ``year=`` and ``month=`` of the event time in UTC."""
    months = rows.with_columns(
        pl.col("event_timestamp").dt.strftime("year=%Y/month=%m").alias("folder")
    ).partition_by("folder", as_dict=True, include_key=False, maintain_order=True)
    for (folder,), part in months.items():
        write_table(root / str(folder) / "part-0.parquet", part)
    return root


def view(
    name: str,
    path: Path | str,
    entities: Sequence[Entity],
    features: Mapping[str, FeastType],
    *,
    ttl: timedelta | None = None,
    created: str = "created",
    field_mapping: dict[str, str] | None = None,
    timestamp_field: str = "event_timestamp",
) -> FeatureView:
    """Return a feature view over Parquet at ``path``."""
    return FeatureView(
        name=name,
        entities=list(entities),
        ttl=ttl,
        schema=[Field(name=feature, dtype=dtype) for feature, dtype in features.items()],
        source=FileSource(
            name=f"{name}_source",
            path=str(path),
            timestamp_field=timestamp_field,
            created_timestamp_column=created,
            field_mapping=field_mapping,
        ),
    )
