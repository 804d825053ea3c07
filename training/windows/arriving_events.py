"""Events of a windowed view that go into the states of its entities as time passes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from training.windows.write_states import open_events
from zeroskew.contract.errors.project import StepError
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.features.offline_store.asof_join import CREATED, EVENT
from zeroskew.features.stored_views import key_ttl_seconds, plan_stored_view
from zeroskew.features.windows.event_rows import input_columns, iter_events
from zeroskew.online.windows.add_events import add_events, serialize_key
from zeroskew.online.writer import OnlineFeatureWriter
from zeroskew.windows.state import Event, StateFullError

__all__ = ["ArrivingEvents"]


class ArrivingEvents:
    """The events of a view that were created between two moments, in that order.

    Parameters
    ----------
    store
        Feast's ``FeatureStore``.
    view
        One of its windowed views, whose source says when an event was created.
    start, end
        Events created after the first and until the second.

    Attributes
    ----------
    rows
        As `WindowedTable.read_events` returns them, without null keys, by ``created``.
    """

    def __init__(self, store: Any, view: Any, start: datetime, end: datetime) -> None:
        self._store = store
        self._table, types = open_events(store, view)
        self._plan = plan_stored_view(store, view, view.projection)
        read = self._table.read_events(to_epoch_us(end), types, cutoff=True)
        landed = pl.col(CREATED).is_between(to_epoch_us(start), to_epoch_us(end), closed="right")
        self.rows = (
            read.filter(landed)
            .drop_nulls(self._table.key_names)
            .sort(CREATED, EVENT, maintain_order=True)
        )

    async def write(
        self, writer: OnlineFeatureWriter, first: int, last: int, now: datetime
    ) -> None:
        """Add the events from row `first` on and before `last`, known at a moment.

        Raises
        ------
        StepError
            If an entity has more events than its state may hold.
        """
        try:
            await add_events(
                writer,
                self._store.project,
                self._plan,
                self._group(self.rows[first:last]),
                now_us=to_epoch_us(now),
                key_ttl_seconds=key_ttl_seconds(self._store),
            )
        except StateFullError as error:
            raise StepError(f"View {self._plan.name!r}: {error}") from error

    def _group(self, rows: pl.DataFrame) -> Mapping[bytes, list[Event]]:
        """Return events by entity key."""
        windows = self._table.windows
        names = [key.source for key in self._table.keys]
        given = rows.with_columns(input_columns(windows))
        events: defaultdict[bytes, list[Event]] = defaultdict(list)
        for key, event in iter_events(given, self._table.key_names, windows):
            events[serialize_key(self._plan, names, key)].append(event)
        return events
