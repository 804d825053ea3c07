"""Writes rows of the feature tables to the online store in the order in which they were created."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

import polars as pl

from zeroskew.contract.errors.project import StepError
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.features.offline_store.column_types import epoch_microseconds, numbers_for_feast
from zeroskew.features.offline_store.parquet.parquet_source import between, open_parquet_table
from zeroskew.online.store import EmptyCopy

__all__ = ["ArrivingRows", "open_online_copy"]


class ArrivingRows:
    """The rows of all views between two moments, as if each landed when it was created.

    Parameters
    ----------
    store
        Feast's ``FeatureStore``, whose online store is written.
    start, end
        Rows created after the first and until the second.

    Raises
    ------
    StepError
        If a view's source does not say when its rows were created.
    OfflineStoreError
        If it is no Parquet file, or lacks a column.
    """

    def __init__(self, store: Any, start: datetime, end: datetime) -> None:
        self._store = store
        self._rows: dict[str, pl.DataFrame] = {}
        self._created: dict[str, pl.Series] = {}
        self._done: dict[str, int] = {}
        for view in store.list_feature_views():
            if view.online:
                created, rows = _read(store, view, start, end)
                self._rows[view.name] = rows
                self._created[view.name] = created
                self._done[view.name] = 0

    @property
    def moments(self) -> pl.Series:
        """The moments at which rows are created, ascending, each once."""
        return pl.concat(list(self._created.values())).unique().sort()

    def write_until(self, moment: datetime) -> int:
        """Write what was created until `moment`, that included, and return how many rows."""
        n_rows = 0
        for name, created in self._created.items():
            first, last = self._done[name], created.search_sorted(moment, side="right")
            if first == last:
                continue
            rows = self._rows[name][first:last]
            # Feast takes a frame of pandas; Arrow's types keep a null from becoming a float.
            frame = numbers_for_feast(rows).to_pandas(use_pyarrow_extension_array=True)
            self._store.write_to_online_store(name, frame, allow_registry_cache=True)
            self._done[name] = last
            n_rows += last - first
        return n_rows


def open_online_copy(store: Any, online: EmptyCopy) -> Any:
    """Return a ``FeatureStore`` with the same definitions that writes to an empty online store."""
    from feast import FeatureStore
    from feast.infra.online_stores.sqlite import SqliteOnlineStore

    config = store.config.model_copy(deep=True)
    for option, value in online.section.items():
        config.online_config[option] = value
        setattr(config.online_store, option, value)
    with contextlib.chdir(store.repo_path):  # Feast takes it for the repo's folder.
        copy = FeatureStore(config=config)
    views = [view for view in copy.list_feature_views() if view.online]
    provider = copy._get_provider()
    provider.update_infra(
        project=copy.project,
        tables_to_delete=[],
        tables_to_keep=views,
        entities_to_delete=[],
        entities_to_keep=[],
        partial=False,
    )
    if isinstance(provider.online_store, SqliteOnlineStore):
        # What is lost with the machine is made anew by the next run; waiting for the disk took
        # longer than all else.
        provider.online_store._get_conn(copy.config).execute("PRAGMA synchronous = OFF")
    return copy


def _read(store: Any, view: Any, start: datetime, end: datetime) -> tuple[pl.Series, pl.DataFrame]:
    source = view.batch_source
    if not getattr(source, "path", None) or not source.created_timestamp_column:
        raise StepError(
            f"Got view {view.name!r}, whose rows do not say when they were created, but expected a "
            "Parquet source with a created_timestamp_column"
        )
    created = source.created_timestamp_column
    table = open_parquet_table(source, store.config.repo_path)
    columns = [*view.join_keys, *[field.name for field in view.features]]
    for column in columns:
        table.require(column, role=f"column of view {view.name!r}")
    landed = between(
        created,
        table.require_instants(created, role="created timestamp"),
        to_epoch_us(start) + 1,
        to_epoch_us(end),
    )
    rows = table.collect(
        table.frame.filter(landed)
        .select(*columns, source.timestamp_field, created)
        .sort(created, source.timestamp_field, maintain_order=True)
    )
    return epoch_microseconds(rows[created]).cast(pl.Datetime("us", "UTC")), rows
