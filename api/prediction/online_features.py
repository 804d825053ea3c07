"""The seam to the online store: what is asked of it, and what it answers.

A reader speaks of bytes and event times only. What the bytes mean, and whether a value is
still live, is the business of `api.prediction.feature_plan`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

__all__ = ["EntityRow", "OnlineFeatureReader", "StoredValue", "ViewQuery"]

StoredValue: TypeAlias = tuple[bytes, int]
"""A serialised ``feast.types.Value`` and its event time in microseconds since the epoch."""

EntityRow: TypeAlias = Sequence[StoredValue | None]
"""One entity's stored values in the order of ``ViewQuery.features``; ``None`` is absent."""


@dataclass(frozen=True, slots=True)
class ViewQuery:
    """The entity keys to read from one feature view, each once."""

    view: str
    table: str
    features: tuple[str, ...]
    keys: tuple[bytes, ...]


class OnlineFeatureReader(Protocol):
    """Reads serialised feature values by serialised entity key."""

    async def read(self, queries: Sequence[ViewQuery]) -> list[Mapping[bytes, EntityRow]]:
        """Return for each query its rows by entity key; an unknown key has no row.

        Raises
        ------
        OnlineStoreUnavailableError
            If the store cannot be read, or does not have a view.
        OnlineValueError
            If the store holds something that is not a value with an event time.
        """
        ...

    async def check(self, tables: Mapping[str, str]) -> None:
        """Check that the table of each view, given by view name, can be read.

        Raises
        ------
        OnlineStoreUnavailableError
            If one cannot; the message names its view.
        """
        ...

    async def close(self) -> None:
        """Release what the reader holds; it is not used afterwards."""
        ...
