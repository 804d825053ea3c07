"""Adds events to the states of their entities."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from zeroskew.contract.manifest import ViewPlan
from zeroskew.contract.pushed_rows import PushedRows
from zeroskew.contract.window_plan import STATE
from zeroskew.online.reader import StoredView
from zeroskew.online.values.decode import ValueType, encode_key_value
from zeroskew.online.writer import OnlineRow, StateChange
from zeroskew.windows.inputs import input_values
from zeroskew.windows.state import GRACE_US, Event, StateFullError
from zeroskew.windows.state_codec import StateCodec

__all__ = [
    "EventRows",
    "StateWriter",
    "add_events",
    "group_events",
    "serialize_key",
    "waiting_events",
]

_SECOND_US: Final = 1_000_000
_ID_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class EventRows:
    """Events as they were pushed.

    Parameters
    ----------
    identity
        Names the request. Events without an id of their own are told apart by it.
    columns
        The values of each of the view's event columns; an instant is whole seconds.
    event_us, created_us
        When they happened, and from when on they were known; ``None`` for since they came.
    received_us
        When they came.
    """

    identity: str
    columns: Mapping[str, Sequence[Any]]
    event_us: Sequence[int]
    created_us: Sequence[int | None]
    received_us: int


class StateWriter(Protocol):
    """What changes states: an `OnlineFeatureWriter`, or what opens one."""

    async def change_states(self, change: StateChange) -> int:
        """Change states; see `zeroskew.online.writer.OnlineFeatureWriter`."""
        ...


def group_events(
    view: ViewPlan, keys: Sequence[bytes | None], rows: EventRows, *, has_created: bool
) -> dict[bytes, list[Event]]:
    """Return events by entity key.

    Parameters
    ----------
    view
        A windowed view.
    keys
        Each event's entity key, ``None`` for one of nobody.
    rows
        The events.
    has_created
        Whether the view's table says when events were created; they are when they happen, if not.
    """
    plan = view.windows
    assert plan is not None
    given = {
        name: _in_microseconds(rows.columns[name])
        if kind == "UNIX_TIMESTAMP"
        else rows.columns[name]
        for name, kind in plan.columns.items()
    }
    ids = [None] * len(keys) if plan.event_id is None else given[plan.event_id]
    values = input_values(plan, given, len(keys))
    events: dict[bytes, list[Event]] = {}
    for place, (key, event_id, of_inputs) in enumerate(zip(keys, ids, values, strict=True)):
        if key is None:
            continue
        event_us, created_us = rows.event_us[place], rows.created_us[place]
        if not has_created:
            created_us = event_us
        elif created_us is None:
            created_us = rows.received_us
        if plan.event_id is None:
            told = _identify(rows.identity, place)
        else:
            told = b"" if event_id is None else str(event_id).encode()
        events.setdefault(key, []).append(Event(event_us, created_us, told, of_inputs))
    return events


def waiting_events(
    view: ViewPlan, rows: PushedRows, identity: str, *, has_created: bool
) -> dict[bytes, list[Event]]:
    """Return the events of a push that is on its way to the lake, as they were added online."""
    names = [key.name for key in view.join_keys]
    columns = [rows.columns[name].values for name in names]
    keys = [
        None if None in values else serialize_key(view, names, values)
        for values in zip(*columns, strict=True)
    ]
    told = EventRows(
        identity,
        {name: column.values for name, column in rows.columns.items()},
        rows.event_us,
        rows.created_us,
        rows.received_us,
    )
    return group_events(view, keys, told, has_created=has_created)


def serialize_key(view: ViewPlan, names: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return the entity key of the values of the join keys with some names, none of them null."""
    by_name = dict(zip(names, values, strict=True))
    return bytes.fromhex(view.key_prefix) + b"".join(
        encode_key_value(by_name[key.name], ValueType[key.type]) for key in view.join_keys
    )


async def add_events(
    writer: StateWriter,
    project: str,
    view: ViewPlan,
    events: Mapping[bytes, Sequence[Event]],
    *,
    now_us: int,
    key_ttl_seconds: int | None,
) -> int:
    """Add events to the states of their entities; return how many changed something.

    To add the same events again changes nothing.

    Raises
    ------
    StateFullError
        If an entity has more events than its state may hold; the others have theirs by then.
    StateBytesError
        If a state is damaged, or of other windows.
    """
    plan = view.windows
    assert plan is not None
    codec = StateCodec(plan)
    repeated: dict[bytes, int] = {}
    full: dict[bytes, StateFullError] = {}

    def change(key: bytes, standing: bytes | None) -> OnlineRow | None:
        state = codec.open(standing)
        try:
            repeated[key] = state.add(events[key], plan, now_us - GRACE_US)
        except StateFullError as error:
            full[key] = error
            return None
        full.pop(key, None)
        if repeated[key] == len(events[key]):
            return None
        return OnlineRow(key, (codec.encode(state),), state.newest_us)

    stored = StoredView(view.name, view.table, (STATE,))
    await writer.change_states(StateChange(project, stored, list(events), change, key_ttl_seconds))
    if full:
        raise next(iter(full.values()))
    return sum(map(len, events.values())) - sum(repeated.values())


def _in_microseconds(instants: Sequence[int | None]) -> list[int | None]:
    return [None if seconds is None else seconds * _SECOND_US for seconds in instants]


def _identify(identity: str, place: int) -> bytes:
    return hashlib.blake2b(f"{identity}:{place}".encode(), digest_size=_ID_BYTES).digest()
