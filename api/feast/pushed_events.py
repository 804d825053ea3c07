"""Pushed events, added to the states of their entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from api.feast.catalog_index import CatalogIndex
from zeroskew.contract.errors.service import InvalidRequestError, OnlineValueError
from zeroskew.contract.feature_catalog import CatalogView
from zeroskew.contract.window_plan import STATE
from zeroskew.online.lazy_writer import LazyWriter
from zeroskew.online.reader import StoredView
from zeroskew.online.writer import OnlineRow, StateChange
from zeroskew.windows.inputs import input_values
from zeroskew.windows.state import GRACE_US, Event, StateFullError
from zeroskew.windows.state_codec import StateBytesError, StateCodec

__all__ = ["add_events", "group_events"]

_SECOND_US: Final = 1_000_000


def group_events(
    view: CatalogView, rows: Sequence[OnlineRow], now_us: int
) -> dict[bytes, list[Event]]:
    """Return some rows of a windowed view as events by entity key.

    Parameters
    ----------
    view
        The view.
    rows
        Entity keys, times, and the values of the plan's columns. One without a created time is
        created when it is received.
    now_us
        When they were received.
    """
    plan = view.windows
    assert plan is not None
    if not rows:
        return {}
    values = zip(*(row.values for row in rows), strict=True)
    given = {
        name: _in_microseconds(of_column) if kind == "UNIX_TIMESTAMP" else of_column
        for (name, kind), of_column in zip(plan.columns.items(), values, strict=True)
    }
    ids = given.get(plan.event_id or "", [None] * len(rows))
    events: dict[bytes, list[Event]] = {}
    has_created = view.source is not None and view.source.created is not None
    for row, event_id, of_inputs in zip(
        rows, ids, input_values(plan, given, len(rows)), strict=True
    ):
        created_us = row.event_us
        if has_created:
            created_us = now_us if row.created_us is None else row.created_us
        encoded = b"" if event_id is None else str(event_id).encode()
        events.setdefault(row.entity_key, []).append(
            Event(row.event_us, created_us, encoded, of_inputs)
        )
    return events


def _in_microseconds(instants: Sequence[int | None]) -> list[int | None]:
    return [None if seconds is None else seconds * _SECOND_US for seconds in instants]


async def add_events(
    writer: LazyWriter,
    catalog: CatalogIndex,
    view: CatalogView,
    events: Mapping[bytes, Sequence[Event]],
    now_us: int,
) -> int:
    """Add events to the states of their entities; return how many changed something.

    Raises
    ------
    InvalidRequestError
        If an entity has more events than its state may hold.
    OnlineValueError
        If a state is damaged, or of other windows.
    """
    plan = view.windows
    assert plan is not None
    codec = StateCodec(plan)
    repeated: dict[bytes, int] = {}

    def change(key: bytes, standing: bytes | None) -> OnlineRow:
        state = codec.open(standing)
        repeated[key] = state.add(events[key], plan, now_us - GRACE_US)
        return OnlineRow(key, (codec.encode(state),), state.newest_us)

    try:
        await writer.change_states(
            StateChange(
                catalog.project,
                StoredView(view.name, view.table, (STATE,)),
                list(events),
                change,
                catalog.key_ttl_seconds,
            )
        )
    except StateFullError as error:
        raise InvalidRequestError(
            f"View {view.name}: {error}; the rows are on their way to the lake, and not online."
        ) from error
    except StateBytesError as error:
        raise OnlineValueError(f"View {view.name}: {error}.") from error
    return sum(map(len, events.values())) - sum(repeated.values())
