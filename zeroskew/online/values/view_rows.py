"""Request rows from a store that gives one view of an entity at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.online.reader import Cell, ReadLayout, StoredFeatures
from zeroskew.online.values.entity_table import EntityTable, place_rows

__all__ = ["ViewRow", "place_view_rows"]

ViewRow: TypeAlias = tuple[Sequence[Cell], int]
"""An entity's cells of a view, in the order of its features, and their event time."""


def place_view_rows(
    layout: ReadLayout,
    distinct: Sequence[tuple[Sequence[bytes], list[int] | None]],
    n_rows: int,
    found: Iterable[Mapping[bytes, ViewRow]],
) -> StoredFeatures:
    """Return the features of some request rows.

    Parameters
    ----------
    layout
        What was read.
    distinct
        For each of ``layout.lookups`` what `distinct_keys` returned.
    n_rows
        How many rows ask.
    found
        For each of ``layout.views`` what the store has, by key; other keys have nothing.
    """
    of_views = iter(found)
    cells: list[list[list[Cell]]] = []
    times: list[int] = []
    for lookup, (entities, _) in zip(layout.lookups, distinct, strict=True):
        nothing: list[ViewRow] = [([None] * len(view.features), NEVER_US) for view in lookup.views]
        views = [next(of_views) for _ in lookup.views]
        rows = [
            [view.get(key, absent) for view, absent in zip(views, nothing, strict=True)]
            for key in entities
        ]
        # The null key's entity stands behind the others.
        rows.append(nothing)
        cells.append([[cell for of_view, _ in row for cell in of_view] for row in rows])
        times += [time for row in rows for of_view, time in row for _ in of_view]
    places = place_rows([of_rows for _, of_rows in distinct], n_rows)
    table = EntityTable.by_lookup([lookup.n_features for lookup in layout.lookups])
    index = table.index([len(of_lookup) for of_lookup in cells], places)
    return StoredFeatures(layout, cells, places, np.array(times, np.int64).take(index))
