"""Writes rows and events of the lake to the online store in the order of their creation."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from typing import Any, Final

import polars as pl

from training.project.online_store import open_store_of
from training.windows.arriving_events import ArrivingEvents
from zeroskew.contract.errors.project import StepError
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.features.offline_store.asof_join import CREATED
from zeroskew.features.offline_store.column_types import epoch_microseconds, numbers_for_feast
from zeroskew.features.offline_store.parquet.parquet_source import between, open_parquet_table
from zeroskew.features.windows.declare import window_plan_of
from zeroskew.online.store import EmptyCopy

__all__ = ["ArrivingRows", "open_online_copy"]

_TIMEOUT_SEC: Final = 30.0


class ArrivingRows:
    """The rows of all views between two moments, as if each landed when it was created.

    Of a windowed view those are events, which go into the states of its entities. `close` it.

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
        self._events: dict[str, ArrivingEvents] = {}
        self._created: dict[str, pl.Series] = {}
        self._done: dict[str, int] = {}
        self._sources: dict[str, str] = {}
        for view in store.list_feature_views():
            if view.online:
                self._open(view, start, end)
        self._runner = asyncio.Runner()
        self._writer = open_store_of(store).open_writer(timeout_sec=_TIMEOUT_SEC)

    def _open(self, view: Any, start: datetime, end: datetime) -> None:
        _require_created(view)
        if window_plan_of(view) is None:
            created, self._rows[view.name] = _read(self._store, view, start, end)
        else:
            events = self._events[view.name] = ArrivingEvents(self._store, view, start, end)
            created = _as_times(events.rows[CREATED])
        self._created[view.name] = created
        self._done[view.name] = 0
        self._sources[view.name] = view.batch_source.name

    def close(self) -> None:
        """Release what writes."""
        self._runner.run(self._writer.close())
        self._runner.close()

    def write_until(self, moment: datetime) -> int:
        """Write what was created until `moment`, that included, and return how many rows.

        An event counts once, however many views have windows over it.
        """
        n_rows: dict[str, int] = {}
        for name, created in self._created.items():
            first, last = self._done[name], int(created.search_sorted(moment, side="right"))
            if first == last:
                continue
            if name in self._events:
                events, source = self._events[name], self._sources[name]
                self._runner.run(events.write(self._writer, first, last, moment))
                n_rows[source] = max(n_rows.get(source, 0), last - first)
            else:
                self._write_rows(name, self._rows[name][first:last])
                n_rows[name] = last - first
            self._done[name] = last
        return sum(n_rows.values())

    def _write_rows(self, name: str, rows: pl.DataFrame) -> None:
        # Feast takes a frame of pandas; Arrow's types keep a null from becoming a float.
        frame = numbers_for_feast(rows).to_pandas(use_pyarrow_extension_array=True)
        self._store.write_to_online_store(name, frame, allow_registry_cache=True)


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


def _require_created(view: Any) -> None:
    source = view.batch_source
    if not getattr(source, "path", None) or not source.created_timestamp_column:
        raise StepError(
            f"Got view {view.name!r}, whose rows do not say when they were created, but expected a "
            "Parquet source with a created_timestamp_column"
        )


def _as_times(micros: pl.Series) -> pl.Series:
    return micros.cast(pl.Datetime("us", "UTC"))


def _read(store: Any, view: Any, start: datetime, end: datetime) -> tuple[pl.Series, pl.DataFrame]:
    source = view.batch_source
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
    return _as_times(epoch_microseconds(rows[created])), rows
