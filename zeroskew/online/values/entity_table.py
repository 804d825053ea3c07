"""Many rows, few entities: values of distinct entities in one flat list, and rows that pick."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from zeroskew.online.reader import EntityKeys

__all__ = ["EntityTable", "distinct_keys", "place_rows"]


def distinct_keys(keys: EntityKeys) -> tuple[list[bytes], list[int] | None]:
    """Return the distinct keys but ``None``, and for each row where its key stands there.

    A null key stands behind the last one. The second is ``None`` where each row has a key of its
    own, in their order.

    >>> distinct_keys([b"a", b"b", b"a", None])
    ([b'a', b'b'], [0, 1, 0, 2])
    """
    places: dict[bytes | None, int] = dict.fromkeys(keys, 0)
    places.pop(None, None)
    distinct: list[bytes] = list(places)  # type: ignore[arg-type]  # None was taken out
    if len(distinct) == len(keys):
        return distinct, None
    places.update(zip(distinct, range(len(distinct)), strict=True))
    places[None] = len(distinct)
    return distinct, [places[key] for key in keys]


def place_rows(places: Sequence[list[int] | None], n_rows: int) -> NDArray[np.intp]:
    """Return what `distinct_keys` says of each lookup as intp ``(n_rows, n_lookups)``."""
    result = np.empty((n_rows, len(places)), np.intp)
    for lookup, of_rows in enumerate(places):
        result[:, lookup] = range(n_rows) if of_rows is None else of_rows
    return result


class EntityTable:
    """Where the columns of request rows stand in a flat list of entities' values.

    The list has one run of values after another; a run has, for each entity of one lookup, the
    values of that run's columns.

    Parameters
    ----------
    runs
        For each run its lookup and its columns.
    n_columns
        How many columns there are, each in one run.
    """

    def __init__(self, runs: Sequence[tuple[int, Sequence[int]]], n_columns: int) -> None:
        self._widths = [(lookup, len(columns)) for lookup, columns in runs]
        self._run = np.empty(n_columns, np.intp)
        self._lookup = np.empty(n_columns, np.intp)
        self._width = np.empty(n_columns, np.intp)
        self._offset = np.empty(n_columns, np.intp)
        for number, (lookup, columns) in enumerate(runs):
            chosen = list(columns)
            self._run[chosen] = number
            self._lookup[chosen] = lookup
            self._width[chosen] = len(chosen)
            self._offset[chosen] = range(len(chosen))

    @classmethod
    def by_lookup(cls, widths: Sequence[int]) -> EntityTable:
        """Return the table of the lookups' values, so many for each entity, in their order."""
        ends = list(accumulate(widths, initial=0))
        return cls([(i, range(*span)) for i, span in enumerate(pairwise(ends))], ends[-1])

    def index(self, n_entities: Sequence[int], places: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return where each row's values stand.

        Parameters
        ----------
        n_entities
            How many entities each lookup has.
        places
            intp ``(n_rows, n_lookups)``: the entity of each row.

        Returns
        -------
        ndarray
            intp ``(n_rows, n_columns)``.
        """
        starts, start = [], 0
        for lookup, width in self._widths:
            starts.append(start)
            start += n_entities[lookup] * width
        origin = np.array(starts, np.intp).take(self._run) + self._offset
        index: NDArray[np.intp] = places.take(self._lookup, axis=1) * self._width + origin
        return index
