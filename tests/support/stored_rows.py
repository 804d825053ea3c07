"""Stored features made of rows, where each row has entities of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zeroskew.online.reader import Cell, ReadLayout, StoredFeatures

__all__ = ["as_stored"]


def as_stored(
    layout: ReadLayout, rows: Sequence[Sequence[Cell]], event_us: Sequence[Sequence[int]]
) -> StoredFeatures:
    """Return rows of cells, and the event time of each cell, as a reader would."""
    entities, start = [], 0
    for lookup in layout.lookups:
        end = start + lookup.n_features
        entities.append([list(row[start:end]) for row in rows])
        start = end
    places = np.repeat(np.arange(len(rows))[:, None], len(layout.lookups), axis=1)
    times = np.array(event_us, np.int64).reshape(len(rows), layout.n_features)
    return StoredFeatures(layout, entities, places, times)
