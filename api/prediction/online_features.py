"""The seam to the online store: what is asked of it, and what it answers.

A reader speaks of bytes and event times only. What the bytes mean, and whether a value is
still live, is the business of `api.prediction.feature_plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NEVER_US",
    "EntityKeys",
    "EntityLookup",
    "OnlineFeatureReader",
    "ReadLayout",
    "StoredFeatures",
    "StoredView",
]

NEVER_US: Final = np.iinfo(np.int64).min
"""The event time of a cell that the store does not have."""

EntityKeys: TypeAlias = Sequence[bytes | None]
"""The serialised entity key of each request row; ``None`` is a null key, which matches nothing."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class StoredView:
    """One feature view as the stores know it.

    ``redis_fields`` are the hash fields of ``features``, in their order, and
    ``redis_timestamp_field`` is the one of their event time.
    """

    name: str
    table: str
    features: tuple[str, ...]
    redis_fields: tuple[bytes, ...]
    redis_timestamp_field: bytes


@dataclass(frozen=True, slots=True, eq=False)
class EntityLookup:
    """The views that are read with the same entity key."""

    views: tuple[StoredView, ...]


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
        return sum(len(view.features) for view in self.views)


@dataclass(frozen=True, slots=True)
class StoredFeatures:
    """What the store has for some request rows.

    ``cells`` has one list of ``layout.n_features`` cells for each row, in the layout's order:
    a serialised ``feast.types.Value``, empty or ``None`` for a null or an absent value. Rows
    may share no list, but two cells may be the same object. ``event_us`` is int64
    ``(n_rows, layout.n_features)``: each cell's event time in microseconds since the Unix
    epoch, `NEVER_US` where the entity has no row in that view.
    """

    cells: list[list[bytes | None]]
    event_us: NDArray[np.int64]


class OnlineFeatureReader(Protocol):
    """Reads serialised feature values by serialised entity key."""

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
