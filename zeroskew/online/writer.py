"""The seam to the online store for writes: what is to be written, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from zeroskew.online.reader import StoredView
from zeroskew.online.values.nested_values import FeatureType
from zeroskew.online.write_order import keep_newest

__all__ = [
    "ChangeState",
    "OnlineFeatureWriter",
    "OnlineRow",
    "OnlineWrite",
    "StateChange",
    "ViewRows",
]

ChangeState: TypeAlias = Callable[[bytes, bytes | None], "OnlineRow | None"]
"""Given an entity key and the state that stands, what is to stand: one value; ``None`` for that."""


@dataclass(frozen=True, slots=True)
class OnlineRow:
    """One entity's values of a view, in the order of the view's features.

    ``event_us`` and ``created_us`` are microseconds since the Unix epoch.
    """

    entity_key: bytes
    values: tuple[Any, ...]
    event_us: int
    created_us: int | None = None


@dataclass(frozen=True, slots=True)
class ViewRows:
    """Rows of one view, and the types of its features."""

    view: StoredView
    kinds: tuple[FeatureType, ...]
    rows: Sequence[OnlineRow]

    def newest(self) -> dict[bytes, OnlineRow]:
        """Return by entity key the row that stands among them."""
        return keep_newest(self.rows, lambda row: row.entity_key, lambda row: row.event_us)


@dataclass(frozen=True, slots=True)
class OnlineWrite:
    """What one request writes.

    ``key_ttl_seconds`` is how long an entity lives after a write, in a store that ends it;
    ``None`` is for ever.
    """

    project: str
    views: tuple[ViewRows, ...]
    key_ttl_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class StateChange:
    """What is done to the states of some entities of a windowed view.

    ``view`` has one feature. ``change`` may be called several times for a key: with what stands
    when it is written. It must not depend on how often.
    """

    project: str
    view: StoredView
    keys: Sequence[bytes]
    change: ChangeState
    key_ttl_seconds: int | None = None


class OnlineFeatureWriter(Protocol):
    """Writes what is not older than what stands; to write the same again changes nothing."""

    async def change_states(self, change: StateChange) -> int:
        """Change states, each in one step: no other writer comes between, and none is lost.

        Returns how many were changed.

        Raises
        ------
        OnlineStoreUnavailableError, OnlineValueError, NotSupportedError
            As in `write`. What ``change`` raises comes through; some may have been changed by then.
        """
        ...

    async def write(self, write: OnlineWrite) -> list[int]:
        """Write the rows of all views and return for each view how many were written.

        The others were older than what stands, or than another row of their entity.

        Raises
        ------
        OnlineStoreUnavailableError
            If the store cannot be written, does not answer in time, or does not have a view.
            Some views may have been written; to send the request again is safe.
        OnlineValueError
            If what stands is not in Feast's layout.
        NotSupportedError
            If it is a kind of store that the service does not write.
        """
        ...

    async def close(self) -> None:
        """Release what the writer holds; it is not used afterwards."""
        ...
