"""A state as its windows read it, with what they have worked out of it so far."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import replace
from itertools import accumulate, compress
from typing import Any, Final

from zeroskew.windows.packed_columns import InputColumn
from zeroskew.windows.partial import Partial, dyadic
from zeroskew.windows.state_codec import Folded, StoredEvents

__all__ = ["INFINITE", "OpenState"]

INFINITE: Final = (float("inf"), float("-inf"))


class OpenState:
    """A decoded state, and what its windows have worked out of it so far."""

    def __init__(self, stored: StoredEvents, folded: Folded, *, has_ids: bool) -> None:
        self.stored, self._folded = stored, folded
        self.has_ids = has_ids and bool(stored.ids)
        self.tile_ends = sorted(folded.tiles)
        """Where the spans end whose events are known by what they come to."""
        self._behind: dict[int, list[Partial | None]] = {}
        n_inputs = len(stored.columns)
        self._counts: list[list[int] | None] = [None] * n_inputs
        self._sums: list[list[int] | None] = [None] * n_inputs
        self._squares: list[list[int] | None] = [None] * n_inputs
        self._exact: list[tuple[list[int], int] | None] = [None] * n_inputs

    def counts(self, place: int) -> list[int] | None:
        """Return how many values the first events give; ``None`` where each gives one."""
        nulls = self.stored.columns[place].nulls
        if nulls is None:
            return None
        found = self._counts[place]
        if found is None:
            found = self._counts[place] = list(accumulate(nulls, _count_valid, initial=0))
        return found

    def sums(self, place: int) -> tuple[list[int], int]:
        """Return the running sums of an input's finite values, and their shift."""
        numbers, shift = self._numbers(place)
        found = self._sums[place]
        if found is None:
            found = self._sums[place] = list(accumulate(numbers, initial=0))
        return found, shift

    def squares(self, place: int) -> list[int]:
        """Return the running sums of their squares."""
        found = self._squares[place]
        if found is None:
            numbers, _ = self._numbers(place)
            found = self._squares[place] = list(accumulate((n * n for n in numbers), initial=0))
        return found

    def behind(self, place: int, start_us: int | None) -> Partial | None:
        """Return what those events of a window come to that are not kept.

        Parameters
        ----------
        place
            The input.
        start_us
            Where the window begins, ``None`` for one without a beginning.
        """
        if start_us is not None and not self.tile_ends:
            return None
        behind = self._behind.get(place)
        if behind is None:
            behind = self._behind[place] = self._merge_tiles(place)
        return behind[0 if start_us is None else 1 + bisect_right(self.tile_ends, start_us)]

    def _merge_tiles(self, place: int) -> list[Partial | None]:
        """Return what all older events come to, and what those from each tile on do."""
        merged: list[Partial | None] = [None]
        for end_us in reversed(self.tile_ends):
            merged.append(_join(self._folded.tiles[end_us][place], merged[-1]))
        merged.append(_join(self._folded.partials[place], merged[-1]))
        return merged[::-1]

    def known_at(self, time_us: int) -> tuple[OpenState, int]:
        """Return the state without the events that are created later, and until when that holds."""
        stored = self.stored
        created = stored.created_us()
        known = [us <= time_us for us in created]
        columns = [
            InputColumn(
                _keep(column.numbers, known),
                column.shift,
                None if column.nulls is None else bytes(compress(column.nulls, known)),
                column.is_scaled,
                column.is_double,
            )
            for column in stored.columns
        ]
        kept = replace(
            stored,
            last_created_us=time_us,
            event_us=_keep(stored.event_us, known),
            lags_us=_keep(stored.lags_us, known),
            ids=list(compress(stored.ids, known)),
            columns=columns,
        )
        known_state = OpenState(kept, self._folded, has_ids=self.has_ids)
        return known_state, min(us for us in created if us > time_us) - 1

    def _numbers(self, place: int) -> tuple[Any, int]:
        column = self.stored.columns[place]
        if not column.is_double:
            return column.numbers, column.shift
        found = self._exact[place]
        if found is None:
            found = self._exact[place] = _as_exact(column)
        return found


def _count_valid(count: int, is_null: int) -> int:
    return count + 1 - is_null


def _as_exact(column: InputColumn) -> tuple[list[int], int]:
    """Return doubles as whole numbers of one unit, 0 for what is infinite."""
    parts = [(0, 0) if value in INFINITE else dyadic(value) for value in column.numbers]
    shift = max((bits for _, bits in parts), default=0)
    return [number << (shift - bits) for number, bits in parts], shift


def _join(one: Partial | None, other: Partial | None) -> Partial | None:
    if one is None or other is None:
        return one or other
    joined = replace(one, times=None if one.times is None else Counter(one.times))
    joined.merge(other)
    return joined


def _keep(numbers: Any, known: list[bool]) -> Any:
    kept = compress(numbers, known)
    return list(kept) if isinstance(numbers, list) else type(numbers)(numbers.typecode, kept)
