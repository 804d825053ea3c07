"""A state as bytes, so that reading it costs a slice and a cast for each column."""

from __future__ import annotations

import hashlib
import json
import struct
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from zeroskew.contract.window_plan import WindowPlan
from zeroskew.windows.packed_columns import (
    InputColumn,
    pack_column,
    pack_integers,
    pack_texts,
    unpack_column,
    unpack_integers,
    unpack_texts,
)
from zeroskew.windows.partial import EventOrder, InputValue, Partial, order_of
from zeroskew.windows.state import COUNTED, EntityState, Event

__all__ = ["Folded", "StateBytesError", "StateCodec", "StoredEvents"]

_HEADER: Final = struct.Struct("<c8sqqqqIB")
_RELEASE: Final = b"\x01"
_HAS_FOLDED: Final = 1
_HAS_IDS: Final = 2
_PLAIN: Final = ("count", "shift", "sum", "squares", "above", "below", "least", "greatest")
"""What of a `Partial` is told as it is."""


class StateBytesError(ValueError):
    """Bytes that are no state, or one of other windows."""


@dataclass(slots=True)
class StoredEvents:
    """A state as it lies in the store, an array for each of its columns.

    ``since_us``, ``cut_us`` and ``newest_cut_us`` are those of `EntityState`; ``last_created_us``
    is when the last of the events was created. ``folded`` are bytes that `StateCodec` reads.
    """

    since_us: int
    cut_us: int
    newest_cut_us: int
    last_created_us: int
    event_us: array[int]
    lags_us: array[int]
    ids: Sequence[bytes]
    columns: list[InputColumn]
    folded: bytes

    def __len__(self) -> int:
        """How many events are kept."""
        return len(self.event_us)

    def created_us(self) -> list[int]:
        """Return when each event was created."""
        return [us + lag for us, lag in zip(self.event_us, self.lags_us, strict=True)]


class Folded(NamedTuple):
    """What of a state is no list of events: as `EntityState` has it."""

    partials: list[Partial | None]
    tiles: dict[int, list[Partial]]
    ids: dict[bytes, None]


class StateCodec:
    """Writes and reads the states of a view.

    Parameters
    ----------
    plan
        The view's windows.
    """

    def __init__(self, plan: WindowPlan) -> None:
        self.plan = plan
        endless = [one for one in plan.features if one.window_us is None]
        folded = endless if plan.hop_us is None else plan.features
        counted = {one.input for one in folded if one.function in COUNTED}
        told = [
            [one.model_dump(mode="json") for one in plan.inputs],
            [plan.event_id, plan.hop_us, plan.longest_us],
            [sorted({one.input for one in endless}), sorted(counted)],
        ]
        self._nothing = Folded(EntityState.empty(plan).folded, {}, {})
        self._fingerprint = hashlib.blake2b(json.dumps(told).encode(), digest_size=8).digest()

    def encode(self, state: EntityState) -> bytes:
        """Return a state as bytes."""
        events = state.events
        folded = self._encode_folded(state)
        has_ids = any(one.event_id for one in events)
        head = _HEADER.pack(
            _RELEASE,
            self._fingerprint,
            state.since_us,
            state.cut_us,
            state.newest_cut_us,
            max((one.created_us for one in events), default=state.since_us),
            len(events),
            (_HAS_FOLDED if folded else 0) | (_HAS_IDS if has_ids else 0),
        )
        parts = [
            head,
            pack_integers([one.event_us for one in events]),
            pack_integers([one.created_us - one.event_us for one in events]),
        ]
        if has_ids:
            parts.append(pack_texts([one.event_id for one in events]))
        columns = [list(given) for given in zip(*(one.values for one in events), strict=True)]
        parts += [pack_column(values) for values in columns or [[] for _ in self.plan.inputs]]
        return b"".join([*parts, folded])

    def decode(self, data: bytes) -> StoredEvents:
        """Return the state that some bytes hold.

        Raises
        ------
        StateBytesError
            If they are damaged, or of windows that read other columns.
        """
        try:
            return self._decode(data)
        except (struct.error, ValueError, IndexError) as error:
            if isinstance(error, StateBytesError):
                raise
            raise StateBytesError("Got bytes cut short, but expected a whole state") from error

    def _decode(self, data: bytes) -> StoredEvents:
        release, fingerprint, *times, n_events, flags = _HEADER.unpack_from(data)
        if release != _RELEASE or fingerprint != self._fingerprint:
            raise StateBytesError(
                "Got the state of other windows or of another release, but expected of these; run "
                "`zeroskew materialize`"
            )
        event_us, at = unpack_integers(data, _HEADER.size, n_events)
        lags, at = unpack_integers(data, at, n_events)
        ids: Sequence[bytes] = ()
        if flags & _HAS_IDS:
            ids, at = unpack_texts(data, at, n_events)
        columns = []
        for _ in self.plan.inputs:
            column, at = unpack_column(data, at, n_events)
            columns.append(column)
        if at > len(data):
            raise StateBytesError("Got bytes cut short, but expected a whole state")
        since, cut, newest_cut, last_created = times
        rest = data[at:] if flags & _HAS_FOLDED else b""
        return StoredEvents(
            since, cut, newest_cut, last_created, event_us, lags, ids, columns, rest
        )

    def open(self, data: bytes | None) -> EntityState:
        """Return a stored state as one that events can be added to; an empty one for none."""
        if not data:
            return EntityState.empty(self.plan)
        stored = self.decode(data)
        if stored.folded:
            folded, tiles, folded_ids = self.read_folded(stored)
        else:
            folded, tiles, folded_ids = EntityState.empty(self.plan).folded, {}, {}
        values = zip(*(map(c.value, range(len(stored))) for c in stored.columns), strict=True)
        ids = stored.ids or [b""] * len(stored)
        events = map(Event, stored.event_us, stored.created_us(), ids, values)
        return EntityState(
            stored.since_us,
            stored.cut_us,
            stored.newest_cut_us,
            list(events),
            folded,
            tiles,
            folded_ids,
        )

    def read_folded(self, stored: StoredEvents) -> Folded:
        """Return what older events come to, and the ids of those; not to be changed.

        Raises
        ------
        StateBytesError
            If they are damaged.
        """
        if not stored.folded:
            return self._nothing
        try:
            told = json.loads(stored.folded)
            return Folded(
                [None if one is None else _read_partial(one) for one in told["inputs"]],
                {end: [_read_partial(one) for one in tile] for end, tile in told["tiles"]},
                dict.fromkeys(map(bytes.fromhex, told["ids"])),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StateBytesError("Got bytes cut short, but expected a whole state") from error

    def _encode_folded(self, state: EntityState) -> bytes:
        is_empty = not any(one and one.count for one in state.folded)
        if is_empty and not state.folded_ids and not state.tiles:
            return b""
        told = {
            "inputs": [None if one is None else _tell_partial(one) for one in state.folded],
            "tiles": [[end, list(map(_tell_partial, tile))] for end, tile in state.tiles.items()],
            "ids": [one.hex() for one in state.folded_ids],
        }
        return json.dumps(told, separators=(",", ":")).encode()


def _tell_partial(one: Partial) -> list[Any]:
    ends = [
        None if end is None else [end[0][0], end[0][1], end[0][2].hex(), end[1]]
        for end in (one.first, one.last)
    ]
    times = None if one.times is None else [[value, n] for (value, _), n in one.times.items()]
    return [getattr(one, name) for name in _PLAIN] + [*ends, times]


def _read_partial(told: list[Any]) -> Partial:
    *plain, first, last, times = told
    one = Partial(**dict(zip(_PLAIN, plain, strict=True)))
    one.first, one.last = _read_end(first), _read_end(last)
    if times is not None:
        one.times = Counter({order_of(value): n for value, n in times})
    return one


def _read_end(told: list[Any] | None) -> tuple[EventOrder, InputValue] | None:
    return None if told is None else ((told[0], told[1], bytes.fromhex(told[2])), told[3])
