"""Cuts the work for a wide request into pieces, between which everybody else is served.

How long a read and what is made of it take goes with the number of values: rows times stored
features. What has few is done at once, since the turns themselves cost something. What has many
takes turns: it waits until those who are under way are answered, does a piece, and where others
came lately makes a pause of the same length, so that wide requests together never take more than
half of the event loop's time. Of several wide requests each has its turn, one after the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from typing import Final

from zeroskew.contract.errors.service import DeadlineError, InvalidInstancesError
from zeroskew.online.reader import EntityKeys, OnlineFeatureReader, ReadLayout, StoredFeatures

__all__ = ["MOST_TOLD", "TurningReader", "WideWork"]

MOST_TOLD: Final = 20_000
"""How many stored values an answer may tell of, and are kept for that."""

_PIECES_AT_ONCE: Final = 4
"""What has no more values than so many pieces is done at once."""

_LONGEST_PAUSE_SEC: Final = 0.01
_SHORTEST_PAUSE_SEC: Final = 0.001
"""What uvloop's clock can tell from nothing."""

_SEC_A_CELL: Final = 20e-6
"""How much longer than another request a wide one may take, for each of its values."""

_PATIENCE: Final = 0.25
"""How much of the time that a piece may take it waits for the others at most."""

_LATELY_SEC: Final = 0.1
"""Who came within so long is followed by more, probably."""

_NEWEST_SHARE: Final = 0.2
_FORGETTING: Final = 0.9


class WideWork:
    """Says what is wide, how long it may take, and whose turn it is.

    Parameters
    ----------
    cells_at_once
        How many values a piece has; one row at least.
    timeout_sec
        How long a request may take that is not wide.
    max_cells
        How many values a request may have.
    """

    def __init__(self, *, cells_at_once: int, timeout_sec: float, max_cells: int) -> None:
        self._cells_at_once = cells_at_once
        self._timeout_sec = timeout_sec
        self._max_cells = max_cells
        self._widest = cells_at_once * _PIECES_AT_ONCE
        self._turn = asyncio.Lock()
        self._patience_sec = cells_at_once * _SEC_A_CELL * _PATIENCE
        self._n_wide = 0
        self._other_came_at = -_LATELY_SEC
        self._sec_a_cell = 0.0
        self.n_others = 0
        """How many are under way that are not wide."""
        self.n_turns = 0
        """How many pieces were worked on since the start."""

    def is_wide(self, n_rows: int, n_features: int) -> bool:
        """Whether so many rows of so many stored features take turns."""
        return n_rows * n_features > self._widest and n_rows > 1

    def count_rows_at_once(self, n_features: int) -> int:
        """Return how many rows are not wide yet."""
        return max(1, self._widest // max(1, n_features))

    def deadline_sec(self, n_cells: int) -> float:
        """Return how long a wide request may take."""
        return self._timeout_sec + n_cells * _SEC_A_CELL

    def split(self, n_rows: int, n_features: int) -> Iterator[slice]:
        """Yield the pieces' rows."""
        n_at_once = max(1, self._cells_at_once // n_features)
        yield from (slice(*span) for span in pairwise([*range(0, n_rows, n_at_once), n_rows]))

    @contextmanager
    def admit(self, n_rows: int, n_features: int) -> Iterator[None]:
        """Let a wide request in, if it can be answered in time beside those that are.

        Raises
        ------
        InvalidInstancesError
            If it has more values than any request may have.
        DeadlineError
            If by the pace of the last ones it would take too long.
        """
        n_cells = n_rows * n_features
        got = f"Got {n_rows:,} instances of {n_features:,} features"
        if n_cells > self._max_cells:
            raise InvalidInstancesError(
                f"{got}, but expected at most {self._max_cells:,} values in a request "
                "(ZEROSKEW_MAX_CELLS)."
            )
        expected_sec = n_cells * self._sec_a_cell * (self._n_wide + 1)
        allowed_sec = self.deadline_sec(n_cells)
        if expected_sec > allowed_sec:
            # What was slow once may be fast again, and only one that is let in finds out.
            self._sec_a_cell *= _FORGETTING
            raise DeadlineError(
                f"{got}, which would take {expected_sec:.0f} seconds now, beside "
                f"{self._n_wide} like it, but expected at most {allowed_sec:.0f} "
                "(ZEROSKEW_REQUEST_TIMEOUT_SEC, and 20 µs a value)."
            )
        self._n_wide += 1
        try:
            yield
        finally:
            self._n_wide -= 1

    @contextmanager
    def let_pass(self) -> Iterator[None]:
        """Count somebody as under way who is not wide, and for whom wide requests wait."""
        self.n_others += 1
        self._other_came_at = time.perf_counter()
        try:
            yield
        finally:
            self.n_others -= 1

    async def give_way(self) -> None:
        """Wait until all others are answered, but not for long: a wide request goes on, too."""
        until = time.perf_counter() + self._patience_sec
        while self.n_others and time.perf_counter() < until:
            await asyncio.sleep(_SHORTEST_PAUSE_SEC)

    @asynccontextmanager
    async def take_turn(self, n_cells: int) -> AsyncIterator[None]:
        """Wait for one's turn to do a piece of so many values, and give way before and after it."""
        async with self._turn:
            came = time.perf_counter()
            await self.give_way()
            began = time.perf_counter()
            yield
            self.n_turns += 1
            await self._pause(time.perf_counter() - began)
            self._note_pace((time.perf_counter() - came) / n_cells)

    async def _pause(self, took_sec: float) -> None:
        if time.perf_counter() - self._other_came_at < _LATELY_SEC:
            await asyncio.sleep(max(_SHORTEST_PAUSE_SEC, min(took_sec, _LONGEST_PAUSE_SEC)))
            return
        # In one turn of the loop a request is received, in the next one it is under way.
        for _ in range(2):
            await asyncio.sleep(0)

    def _note_pace(self, sec_a_cell: float) -> None:
        known = self._sec_a_cell or sec_a_cell
        self._sec_a_cell = known + _NEWEST_SHARE * (sec_a_cell - known)


class TurningReader:
    """Another reader, whose wide reads take turns.

    Parameters
    ----------
    reader
        What reads each piece.
    wide
        Says what is wide.
    """

    def __init__(self, reader: OnlineFeatureReader, wide: WideWork) -> None:
        self._reader = reader
        self._wide = wide
        self.cells_at_once = reader.cells_at_once
        self.check = reader.check
        self.close = reader.close

    async def read(self, layout: ReadLayout, keys: Sequence[EntityKeys]) -> StoredFeatures:
        """Return the stored features of some request rows; see `OnlineFeatureReader.read`."""
        n_rows, n_features = len(keys[0]) if keys else 0, layout.n_features
        if not self._wide.is_wide(n_rows, n_features):
            with self._wide.let_pass():
                return await self._reader.read(layout, keys)
        found = []
        for rows in self._wide.split(n_rows, n_features):
            async with self._wide.take_turn((rows.stop - rows.start) * n_features):
                found.append(await self._reader.read(layout, [of_all[rows] for of_all in keys]))
        return StoredFeatures.join(found)
