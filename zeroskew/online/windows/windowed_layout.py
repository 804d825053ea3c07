"""What is read for windowed views, and what becomes of it at the moment of a request.

A store holds one value for all features of such a view: the state of the entity. The readers know
nothing of it. Behind them stands, for whoever decodes, the same as for any view: a cell for each
feature, with the event time of the newest event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

import numpy as np

from zeroskew.contract.errors.service import OnlineValueError
from zeroskew.contract.time.epoch import ALWAYS_US, NEVER_US
from zeroskew.contract.window_plan import STATE
from zeroskew.online.reader import (
    Cell,
    EntityLookup,
    EntityRow,
    ReadLayout,
    StoredFeatures,
    StoredView,
)
from zeroskew.online.values.decode import ValueType, decode_value
from zeroskew.online.values.encode import encode_value
from zeroskew.windows.moment import MomentReader, StateAheadError
from zeroskew.windows.open_state import OpenState
from zeroskew.windows.partial import InputValue
from zeroskew.windows.state_codec import StateBytesError

__all__ = ["WindowedLayout"]

_SECOND_US: Final = 1_000_000


class WindowedLayout:
    """Turns states into cells.

    Parameters
    ----------
    layout
        What whoever decodes expects, windowed views among others.

    Attributes
    ----------
    stored
        What is to be read for it.
    """

    def __init__(self, layout: ReadLayout) -> None:
        self._layout = layout
        self._lookups = [_Lookup(lookup) for lookup in layout.lookups]
        self.stored = ReadLayout(layout.project, tuple(one.stored for one in self._lookups))

    @classmethod
    def of(cls, layout: ReadLayout) -> WindowedLayout | None:
        """Return what a layout needs; ``None`` where no view is windowed."""
        return cls(layout) if any(view.windows for view in layout.views) else None

    def at(self, stored: StoredFeatures, now_us: int) -> StoredFeatures:
        """Return what was read as it is at a moment.

        Parameters
        ----------
        stored
            What a reader gave for `stored`.
        now_us
            The moment in microseconds since the Unix epoch.

        Raises
        ------
        OnlineValueError
            If a state is damaged, or of other windows; the message names the view.
        """
        if stored.rows is not None:
            rows = [
                [one.at(entity, now_us) for one, entity in zip(self._lookups, row, strict=True)]
                for row in stored.rows
            ]
            return StoredFeatures(self._layout, rows=rows)
        return self._many_at(stored, now_us)

    def _many_at(self, stored: StoredFeatures, now_us: int) -> StoredFeatures:
        cells: list[list[Sequence[Cell]]] = []
        times = []
        begin = 0
        for number, (lookup, found) in enumerate(zip(self._lookups, stored.entities, strict=True)):
            places = stored.places[:, number]
            before = stored.event_us[:, begin : begin + lookup.width]
            begin += lookup.width
            if not lookup.is_windowed:
                cells.append(list(found))
                times.append(before)
                continue
            entities = [lookup.read(of_entity, None, now_us) for of_entity in found]
            cells.append([one.cells for one in entities])
            of_views = np.array([one.view_times for one in entities], np.int64).take(places, axis=0)
            columns = of_views.repeat(lookup.sizes, axis=1)
            kept = np.flatnonzero(lookup.plain_places >= 0)
            columns[:, kept] = before[:, lookup.plain_places[kept]]
            times.append(columns)
        event_us = np.concatenate(times, axis=1) if times else stored.event_us
        return StoredFeatures(self._layout, cells, stored.places, event_us)


@dataclass(slots=True)
class _Kept:
    """An entity as it is from one moment to another, and its states."""

    row: EntityRow
    since_us: int
    until_us: int
    states: list[OpenState | None]


class _Lookup:
    """The views that are read with one key."""

    def __init__(self, lookup: EntityLookup) -> None:
        self.stored = EntityLookup(tuple(map(_stored_view, lookup.views)))
        self.width = self.stored.n_features
        self.sizes = [len(view.features) for view in lookup.views]
        self.is_windowed = any(view.windows is not None for view in lookup.views)
        spans = pairwise(accumulate((len(v.features) for v in self.stored.views), initial=0))
        self._views = [
            (begin, end, None if view.windows is None else _WindowedView(view))
            for view, (begin, end) in zip(lookup.views, spans, strict=True)
        ]
        self.plain_places = np.array(
            [
                begin + place if of_windows is None else -1
                for (begin, _, of_windows), size in zip(self._views, self.sizes, strict=True)
                for place in range(size)
            ],
            np.intp,
        )
        """Where each cell stands among those that were read; -1 where it is computed."""

    def at(self, entity: EntityRow, now_us: int) -> EntityRow:
        """Return an entity as it is at a moment, the same as long as nothing changes."""
        if not self.is_windowed:
            return entity
        kept: _Kept | None = entity.decoded
        if kept is not None and kept.since_us <= now_us <= kept.until_us:
            return kept.row
        states = [] if kept is None else kept.states
        row, until_us, states = self._compute(entity.cells, entity.view_times, states, now_us)
        entity.decoded = _Kept(row, now_us, until_us, states)
        return row

    def read(
        self, cells: Sequence[Cell], view_times: Sequence[int] | None, now_us: int
    ) -> EntityRow:
        """Return an entity of which nothing is kept; without times, those of plain views are 0."""
        return self._compute(cells, view_times or [0] * len(self._views), [], now_us)[0]

    def _compute(
        self,
        stored: Sequence[Cell],
        view_times: Sequence[int],
        states: list[OpenState | None],
        now_us: int,
    ) -> tuple[EntityRow, int, list[OpenState | None]]:
        cells: list[Cell] = []
        times: list[int] = []
        until_us = ALWAYS_US
        opened: list[OpenState | None] = states or [
            None if view is None else view.open(stored[begin]) for begin, _, view in self._views
        ]
        for (begin, end, view), state, time_us in zip(self._views, opened, view_times, strict=True):
            if view is None:
                cells += stored[begin:end]
                times.append(time_us)
                continue
            found, newest_us, view_until_us = view.at(state, now_us)
            cells += found
            times.append(newest_us)
            until_us = min(until_us, view_until_us)
        return EntityRow(cells, times), until_us, opened


class _WindowedView:
    """Computes the features of a windowed view."""

    def __init__(self, view: StoredView) -> None:
        assert view.windows is not None
        self._name = view.name
        known = {feature.name: feature for feature in view.windows.features}
        features = tuple(known[name] for name in view.features)
        self._reader = MomentReader(view.windows, features)
        self._encoders = [_ENCODERS[feature.type] for feature in features]
        self._nothing: list[Cell] = [None] * len(features)

    def open(self, cell: Cell) -> OpenState | None:
        """Return the state in a cell; ``None`` for an entity without one."""
        data = decode_value(cell, ValueType.BYTES) if cell else None
        if data is None:
            return None
        assert isinstance(data, bytes)
        try:
            return self._reader.open(data)
        except StateBytesError as error:
            raise OnlineValueError(f"View {self._name}: {error}.") from error

    def at(self, state: OpenState | None, now_us: int) -> tuple[list[Cell], int, int]:
        """Return the cells at a moment, the newest event's time, and until when they hold."""
        if state is None:
            return self._nothing, NEVER_US, ALWAYS_US
        try:
            values, newest_us, until_us = self._reader.read(state, now_us)
        except StateAheadError:
            # As of a value whose time is still to come.
            return self._nothing, state.stored.since_us, state.stored.since_us - 1
        except OverflowError as error:
            raise OnlineValueError(f"View {self._name}: {error}.") from error
        cells: list[Cell] = [
            encode(value) for encode, value in zip(self._encoders, values, strict=True)
        ]
        return cells, newest_us, until_us


def _stored_view(view: StoredView) -> StoredView:
    return view if view.windows is None else StoredView(view.name, view.table, (STATE,))


def _encoder(kind: ValueType) -> Callable[[InputValue | None], bytes]:
    return lambda value: encode_value(value, kind)


def _encode_boolean(value: InputValue | None) -> bytes:
    return encode_value(None if value is None else bool(value), ValueType.BOOL)


def _encode_instant(value: InputValue | None) -> bytes:
    """Cut off below the second, towards the past, as Feast's materialization does."""
    seconds = None if value is None else int(value) // _SECOND_US
    return encode_value(seconds, ValueType.UNIX_TIMESTAMP)


_ENCODERS: Final[dict[str, Callable[[InputValue | None], bytes]]] = {
    "INT64": _encoder(ValueType.INT64),
    "DOUBLE": _encoder(ValueType.DOUBLE),
    "STRING": _encoder(ValueType.STRING),
    "BOOL": _encode_boolean,
    "UNIX_TIMESTAMP": _encode_instant,
}
