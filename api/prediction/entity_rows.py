"""From the rows of distinct entities to the cells of request rows, for readers that look up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from api.prediction.online_features import EntityKeys, ReadLayout, StoredView

__all__ = ["EntityRow", "EntityTable", "absent_row", "distinct_keys", "spread_rows"]

EntityRow: TypeAlias = tuple[list[bytes | None], list[int]]
"""One entity's cells of a view, and the event time of each."""

EntityTable: TypeAlias = tuple[list[list[bytes | None]], list[list[int]]]
"""The cells of request rows, one list a row, and the event time of each cell."""


def distinct_keys(keys: EntityKeys) -> list[bytes]:
    """Return each key once, in the order of the rows, without null keys."""
    return list(dict.fromkeys(key for key in keys if key is not None))


def absent_row(view: StoredView, never: int) -> EntityRow:
    """Return the row of an entity that the view does not have; `never` is its event time."""
    width = len(view.features)
    return [None] * width, [never] * width


def spread_rows(
    layout: ReadLayout,
    keys: Sequence[EntityKeys],
    found: Iterable[Mapping[bytes, EntityRow]],
    *,
    never: int,
) -> EntityTable:
    """Return the cells of all request rows, and their event times, in the layout's order.

    Parameters
    ----------
    layout, keys
        What was asked for.
    found
        For each of ``layout.views`` the rows that it has, by entity key.
    never
        The event time of a cell that is not there.
    """
    n_rows = len(keys[0]) if keys else 0
    cells: list[list[bytes | None]] = [[] for _ in range(n_rows)]
    event_times: list[list[int]] = [[] for _ in range(n_rows)]
    entities_of_views = iter(found)
    for lookup, row_keys in zip(layout.lookups, keys, strict=True):
        for view in lookup.views:
            entities, absent = next(entities_of_views), absent_row(view, never)
            for row, key in enumerate(row_keys):
                entity = absent if key is None else entities.get(key, absent)
                cells[row] += entity[0]
                event_times[row] += entity[1]
    return cells, event_times
