"""The seam to the online store: what is asked of it, and what it answers.

A reader speaks of bytes and event times only. What the bytes mean, and whether a value is
still live, is the business of `zeroskew.model.plan.read_plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Cell",
    "EntityKeys",
    "EntityLookup",
    "KeptRow",
    "OnlineFeatureReader",
    "ReadLayout",
    "StoredFeatures",
    "StoredView",
]

_CELLS_KEPT: Final = 16_384
Cell: TypeAlias = bytes | None
"""A serialised value; empty or ``None`` for a null or an absent one."""

EntityKeys: TypeAlias = Sequence[bytes | None]
"""The serialised entity key of each request row; ``None`` is a null key, which matches nothing."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class StoredView:
    """One feature view as the stores know it.

    ``table`` is Feast's name of what is stored of it: the project, ``_``, and the view, or one
    version of it. Each store finds its own places by that and by the names of ``features``.
    """

    name: str
    table: str
    features: tuple[str, ...]


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

    @property
    def n_rows_kept(self) -> int:
        """How many rows a reader may keep: as many as take some 1.5 MB, decoded ones."""
        return _CELLS_KEPT // max(1, self.n_features)


@dataclass(slots=True, eq=False)
class KeptRow:
    """What a reader keeps of a single row, to give it again while the store has the same.

    It knows of no layout, for which the reader keeps it. ``entities`` and ``view_times`` are
    those of `StoredFeatures`; ``numbers`` are what the cells mean, once somebody has decoded them.
    """

    entities: Sequence[Sequence[Sequence[Cell]]]
    view_times: Sequence[int]
    numbers: Sequence[float] | None = None


@dataclass(slots=True, eq=False)
class StoredFeatures:
    """What the store has for some request rows.

    Rows share entities: what a lookup found for a key stands here once, however many rows ask
    for it.

    Parameters
    ----------
    layout
        What was read.
    entities
        For each of ``layout.lookups`` the cells of its distinct entities: for each entity a list
        that begins with the lookup's features in the layout's order. A cell is a serialised
        ``feast.types.Value``, empty or ``None`` for a null or an absent value.
    places
        intp ``(n_rows, n_lookups)``: where each row's entity stands in ``entities``.
    event_us
        int64 ``(n_rows, n_features)``: each cell's event time in microseconds since the Unix
        epoch, `NEVER_US` where the entity has no row in that view.
    view_times
        For a single row instead of ``event_us``: the event time of each of ``layout.views``,
        which all cells of the view have.
    kept
        For a single row that the reader keeps: where.
    """

    layout: ReadLayout
    entities: Sequence[Sequence[Sequence[Cell]]]
    places: NDArray[np.intp]
    _event_us: NDArray[np.int64] | None = None
    view_times: Sequence[int] | None = None
    kept: KeptRow | None = None

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
    def event_us(self) -> NDArray[np.int64]:
        """Each cell's event time, int64 ``(n_rows, n_features)``."""
        if self._event_us is None:
            assert self.view_times is not None
            sizes = [len(view.features) for view in self.layout.views]
            self._event_us = np.array(self.view_times, np.int64).repeat(sizes).reshape(1, -1)
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
