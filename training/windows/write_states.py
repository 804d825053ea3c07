"""Writes the states of a windowed view's entities to the online store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

import polars as pl

from zeroskew.contract.manifest import ViewPlan
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.contract.window_plan import STATE
from zeroskew.features.offline_store.column_types import as_polars, declared_type
from zeroskew.features.offline_store.historical_view import plan_view
from zeroskew.features.stored_views import key_ttl_seconds, plan_stored_view
from zeroskew.features.windows.backfill import BuiltState, build_states
from zeroskew.features.windows.windowed_table import WindowedTable
from zeroskew.online.reader import StoredView
from zeroskew.online.store import OnlineStore
from zeroskew.online.windows.add_events import serialize_key
from zeroskew.online.writer import OnlineFeatureWriter, OnlineRow, StateChange
from zeroskew.windows.state_codec import StateCodec

__all__ = ["open_events", "write_states"]

_AT_ONCE: Final = 1000
_TIMEOUT_SEC: Final = 30.0


def write_states(store: Any, view: Any, until: datetime, online: OnlineStore) -> int:
    """Write what was known of each entity at a moment, in place of what stands.

    Parameters
    ----------
    store
        Feast's ``FeatureStore``.
    view
        One of its windowed views.
    until
        The moment.
    online
        Where to.

    Returns
    -------
    int
        How many entities were written.

    Raises
    ------
    SourceError
        If the table of events is not what the view declares.
    StepError
        If an entity has more events than its state may hold.
    """
    table, types = open_events(store, view)
    built = build_states(table, types, to_epoch_us(until))
    plan = plan_stored_view(store, view, view.projection)
    return asyncio.run(_write(online, store, plan, table, built))


def open_events(store: Any, view: Any) -> tuple[WindowedTable, list[pl.DataType]]:
    """Return a windowed view with its table of events open, and the types of its join keys.

    Raises
    ------
    SourceError
        If the table lacks a column.
    """
    references = [f"{view.name}:{feature.name}" for feature in view.features]
    table = plan_view(view, references, full_feature_names=False, repo_path=store.config.repo_path)
    assert isinstance(table, WindowedTable)
    declared = {column.name: declared_type(column.dtype) for column in view.entity_columns}
    return table, [as_polars(declared[key.label]) for key in table.keys]


async def _write(
    online: OnlineStore,
    store: Any,
    plan: ViewPlan,
    table: WindowedTable,
    built: Iterator[BuiltState],
) -> int:
    writer = online.open_writer(timeout_sec=_TIMEOUT_SEC)
    codec = StateCodec(table.windows)
    names = [key.source for key in table.keys]
    n_written = 0
    try:
        while some := list(islice(built, _AT_ONCE)):
            rows = {
                key: OnlineRow(key, (codec.encode(one.state),), one.state.newest_us)
                for one in some
                if (key := serialize_key(plan, names, one.keys))
            }
            n_written += await _put(writer, store, plan, rows)
    finally:
        await writer.close()
    return n_written


async def _put(
    writer: OnlineFeatureWriter, store: Any, plan: ViewPlan, rows: Mapping[bytes, OnlineRow]
) -> int:
    view = StoredView(plan.name, plan.table, (STATE,))
    change = StateChange(
        store.project, view, list(rows), lambda key, _: rows[key], key_ttl_seconds(store)
    )
    return await writer.change_states(change)
