"""The seam to the online store: what is asked of it, and what it answers.

A reader speaks of bytes and event times only. What the bytes mean, and whether a value is
still live, is the business of `zeroskew.model.plan.read_plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zeroskew.contract.window_plan import WindowPlan

__all__ = [
    "Cell",
    "EntityKeys",
    "EntityLookup",
    "EntityRow",
    "OnlineFeatureReader",
    "ReadLayout",
    "StoredFeatures",
    "StoredView",
]

Cell: TypeAlias = bytes | None
"""A serialised value; empty or ``None`` for a null or an absent one."""

EntityKeys: TypeAlias = Sequence[bytes | None]
"""The serialised entity key of each request row; ``None`` is a null key, which matches nothing."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class StoredView:
    """One feature view as the stores know it.

    ``table`` is Feast's name of what is stored of it: the project, ``_``, and the view, or one
    version of it. Each store finds its own places by that and by the names of ``features``.
    ``windows`` are those of a view whose features are computed of one that is stored.
    """

    name: str
    table: str
    features: tuple[str, ...]
    windows: WindowPlan | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EntityLookup:
    """The views that are read with the same entity key."""

    views: tuple[StoredView, ...]

    @property
    def n_features(self) -> int:
        """How many cells an entity has."""
        return sum(len(view.features) for view in self.views)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ReadLayout:
    """What a model reads for each row: its lookups, their views, and the views' features.

    In that order, one after another, they are the cells of a row of `StoredFeatures`. A reader
    may keep what it prepares for a layout, by the identity of the layout.
    """

    project: str
    lookups: tuple[EntityLookup, ...]

    @property
    def views(self) -> tuple[StoredView, ...]:
        """All views in the order of their cells."""
        return tuple(view for lookup in self.lookups for view in lookup.views)

    @property
    def n_features(self) -> int:
        """How many cells a row has."""
        return sum(lookup.n_features for lookup in self.lookups)


@dataclass(slots=True, eq=False)
class EntityRow:
    """What the store has for a key of a lookup. A reader may give the same one again and again.

    Parameters
    ----------
    cells
        They begin with the lookup's features in the layout's order. A cell is a serialised
        ``feast.types.Value``, empty or ``None`` for a null or an absent value.
    view_times
        The event time of each of the lookup's views, which all its cells have: microseconds since
        the Unix epoch, `NEVER_US` where the key has no row in the view.
    raw
        The bytes that a reader got for it, where it wants to find them again.
    decoded
        What whoever decodes the cells wants to find again with them. No reader looks at it.
    """

    cells: Sequence[Cell]
    view_times: Sequence[int]
    raw: bytes | None = None
    decoded: Any = None


@dataclass(slots=True, eq=False)
class StoredFeatures:
    """What the store has for some request rows.

    Rows share entities: what a lookup found for a key stands here once, however many rows ask
    for it.

    Parameters
    ----------
    layout
        What was read.
    _entities, _places, _event_us
        What the properties `entities`, `places` and `event_us` give.
    rows
        For few rows instead of these three, which are made of it where somebody asks: each row's
        entity of each lookup.
    """

    layout: ReadLayout
    _entities: Sequence[Sequence[Sequence[Cell]]] | None = None
    _places: NDArray[np.intp] | None = None
    _event_us: NDArray[np.int64] | None = None
    rows: Sequence[Sequence[EntityRow]] | None = None

    @classmethod
    def join(cls, parts: Sequence[StoredFeatures]) -> StoredFeatures:
        """Return what was read of some rows, and then of the next ones, as of one read."""
        n_before = np.zeros(parts[0].places.shape[1], np.intp)
        places, entities = [], [[] for _ in n_before]  # type: list[NDArray[np.intp]], list[list[Sequence[Cell]]]
        for part in parts:
            places.append(part.places + n_before)
            for number, found in enumerate(part.entities):
                entities[number] += found
                n_before[number] += len(found)
        event_us = np.concatenate([part.event_us for part in parts])
        return cls(parts[0].layout, entities, np.concatenate(places), event_us)

    @property
    def entities(self) -> Sequence[Sequence[Sequence[Cell]]]:
        """For each of ``layout.lookups`` the cells of its entities, as in `EntityRow`."""
        if self._entities is None:
            assert self.rows is not None
            self._entities = [
                [one.cells for one in found] for found in zip(*self.rows, strict=True)
            ]
        return self._entities

    @property
    def places(self) -> NDArray[np.intp]:
        """Where each row's entity stands in `entities`, intp ``(n_rows, n_lookups)``."""
        if self._places is None:
            assert self.rows is not None
            numbers = np.arange(len(self.rows))[:, None]
            self._places = numbers.repeat(len(self.layout.lookups), axis=1)
        return self._places

    @property
    def event_us(self) -> NDArray[np.int64]:
        """Each cell's event time, int64 ``(n_rows, n_features)``.

        Microseconds since the Unix epoch, `NEVER_US` where the entity has no row in that view.
        """
        if self._event_us is None:
            assert self.rows is not None
            times = [[time for one in row for time in one.view_times] for row in self.rows]
            sizes = [len(view.features) for view in self.layout.views]
            self._event_us = np.array(times, np.int64).repeat(sizes, axis=1)
        return self._event_us

    @property
    def cells(self) -> list[list[Cell]]:
        """Each row's cells, in the layout's order."""
        return [self.row_cells(row) for row in range(len(self.places))]

    def row_cells(self, row: int) -> list[Cell]:
        """Return the cells of a row, in the layout's order."""
        return [
            cell
            for lookup, found, place in zip(
                self.layout.lookups, self.entities, self.places[row].tolist(), strict=True
            )
            for cell in found[place][: lookup.n_features]
        ]


class OnlineFeatureReader(Protocol):
    """Reads serialised feature values by serialised entity key."""

    @property
    def cells_at_once(self) -> int:
        """How many values take about a millisecond to read and decode, which hurts nobody."""
        ...

    async def read(self, layout: ReadLayout, keys: Sequence[EntityKeys]) -> StoredFeatures:
        """Return the stored features of some request rows.

        Parameters
        ----------
        layout
            What to read.
        keys
            For each of ``layout.lookups`` the keys of all rows, in the order of the rows. A key
            that stands there several times is read once.

        Raises
        ------
        OnlineStoreUnavailableError
            If the store cannot be read, does not answer in time, or does not have a view.
        OnlineValueError
            If the store holds something that is not a value with an event time.
        """
        ...

    async def check(self, layout: ReadLayout) -> None:
        """Check that every view of a layout can be read.

        Raises
        ------
        OnlineStoreUnavailableError
            If one cannot; the message names its view where only that view is missing.
        """
        ...

    async def close(self) -> None:
        """Release what the reader holds; it is not used afterwards."""
        ...
