"""Events of a windowed view that go into the states of its entities as time passes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import polars as pl

from training.windows.write_states import open_events, serialize_key
from zeroskew.contract.errors.project import StepError
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.features.stored_views import plan_stored_view
from zeroskew.features.windows.event_rows import CREATED, EVENT, EVENT_ID, input_columns
from zeroskew.online.windows.add_events import add_events
from zeroskew.online.writer import OnlineFeatureWriter
from zeroskew.windows.state import Event, StateFullError

__all__ = ["ArrivingEvents"]

_NO_ID: Final = b""


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
        self._key_ttl_seconds = getattr(store.config.online_store, "key_ttl_seconds", None) or None
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
                key_ttl_seconds=self._key_ttl_seconds,
            )
        except StateFullError as error:
            raise StepError(f"View {self._plan.name!r}: {error}") from error

    def _group(self, rows: pl.DataFrame) -> Mapping[bytes, list[Event]]:
        """Return events by entity key."""
        windows = self._table.windows
        names = [key.source for key in self._table.keys]
        given = rows.with_columns(input_columns(windows))
        ids = given[EVENT_ID].to_list() if windows.event_id is not None else [None] * rows.height
        inputs = given.select(f"input:{place}" for place in range(len(windows.inputs)))
        times = zip(given[EVENT], given[CREATED], strict=True)
        keys = given.select(self._table.key_names).rows()
        events: defaultdict[bytes, list[Event]] = defaultdict(list)
        for key, (event_us, created_us), event_id, values in zip(
            keys, times, ids, inputs.rows(), strict=True
        ):
            encoded = _NO_ID if event_id is None else str(event_id).encode()
            event = Event(event_us, created_us, encoded, values)
            events[serialize_key(self._plan, names, key)].append(event)
        return events
