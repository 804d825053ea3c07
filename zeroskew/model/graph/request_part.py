"""What a graph computes of a request: by the runtime, and for few rows by an interpreter.

Both give the same bits; that is proved, on values of all kinds, before the interpreter is used.
"""

from __future__ import annotations

import struct
import time
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Final, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from zeroskew.model.graph.calculation import read_calculation
from zeroskew.model.graph.graph_split import COMPUTED, REQUEST, SplitGraph
from zeroskew.model.graph.independent_parts import IndependentPart, split_calculation
from zeroskew.model.graph.row_program import RowProgram

__all__ = ["RequestPart"]

_MOST_ROWS: Final = 16
"""More rows are the runtime's, whose nodes cost nearly the same for many as for one."""

_MOST_REMEMBERED: Final = 1024
_N_TIMED: Final = 3
_N_TIMED_ROWS: Final = 4
_SEED: Final = 20130101
_STEPS: Final = (0, 1, 4)
_N_ORDINARY_ROWS: Final = 17
_SPECIAL_VALUES: Final = (
    *(0.0, -0.0, 0.5, -1.0, 1.5, -2.5, 45.0, -90.0, 1e-9, 1e9, 1_380_628_800.0),
    *(np.nan, np.inf, -np.inf, 5e-324, 2.0**53, -(2.0**63), 3.5e38, -1e300),
)


class RequestPart:
    """Computes ``request_features`` from ``request``.

    Features that share no step are computed apart, and what was computed is kept by the very bits
    that it depends on: the way between two airports does not change from call to call. All that
    begins when `prepare` has run; until then the runtime computes.

    Parameters
    ----------
    split
        The graph.
    session
        Its request part, opened.
    n_inputs
        How many columns ``request`` has.
    """

    def __init__(
        self, split: SplitGraph, session: onnxruntime.InferenceSession, n_inputs: int
    ) -> None:
        self._split: SplitGraph | None = split
        self._session = session
        self._n_inputs = n_inputs
        self._parts: tuple[_Part, ...] = ()
        self._places: NDArray[np.intp] | None = None
        self._order: NDArray[np.intp] | None = None
        self._run_sec = 0.0

    @property
    def is_interpreted(self) -> bool:
        """Whether the interpreter gives the runtime's bits, and is used for few rows."""
        return bool(self._parts)

    def prepare(self, known: NDArray[np.float64]) -> None:
        """Make the interpreter, and use it from now on if it proves to give the runtime's bits.

        It takes some hundredths of a second, and may run beside `compute` in another thread. What
        it is made from is let go, so that only the first call does anything.

        Parameters
        ----------
        known
            float64 ``(n_rows, n_inputs)``: rows that it is proved on beside those of all kinds.
        """
        # It has the whole file's bytes, which nobody needs again.
        split, self._split = self._split, None
        if split is None:
            return
        calculation = read_calculation(
            split.graph, split.request_nodes, n_inputs=self._n_inputs, result=COMPUTED
        )
        if calculation is None:
            return
        chosen = split_calculation(calculation)
        places = [place for part in chosen for place in part.places]
        if places != sorted(places):
            self._places, self._order = np.array(places), np.argsort(places)
        begins = accumulate([len(part.places) for part in chosen], initial=0)
        parts = tuple(_Part(part, begin) for part, begin in zip(chosen, begins, strict=False))
        rows = np.concatenate((known, _proof_rows(self._n_inputs)))
        computed = [part.compute(row) for row in rows.tolist() for part in parts]
        if _bits(self._join(computed, len(rows))) != _bits(self._run(rows)):
            return
        for part in parts:
            part.measure(rows[-_N_TIMED_ROWS:].tolist())
        self._run_sec = _time(lambda: self._run(rows[:1]))
        self._parts = parts

    def compute(self, request: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the computed features, float32 ``(n_rows, n_computed)``.

        Parameters
        ----------
        request
            float64 ``(n_rows, n_inputs)``.
        """
        parts = self._parts
        if not parts or not 0 < len(request) <= _MOST_ROWS:
            return self._run(request)
        found: list[bytes] = []
        missing: list[_Missing] = []
        for row in request.tolist():
            for part in parts:
                key = part.key(row)
                kept = part.kept.get(key)
                if kept is None:
                    missing.append((len(found), part, key, row))
                    kept = b""
                found.append(kept)
        if missing:
            self._find_missing(request, missing, found)
        return self._join(found, len(request))

    def _run(self, request: NDArray[np.float64]) -> NDArray[np.float32]:
        computed: NDArray[np.float32] = self._session.run([COMPUTED], {REQUEST: request})[0]
        return computed

    def _find_missing(
        self,
        request: NDArray[np.float64],
        missing: Sequence[_Missing],
        found: list[bytes],
    ) -> None:
        """Compute what is missing in `found`, in the way that takes less time, and keep it."""
        if sum([part.elapsed_sec for _, part, _, _ in missing]) <= self._run_sec:
            for place, part, key, row in missing:
                found[place] = part.keep(key, part.compute(row))
            return
        computed = self._run(request)
        if self._places is not None:
            computed = computed[:, self._places]
        rows = [row.tobytes() for row in computed]
        n_parts = len(self._parts)
        for place, part, key, _ in missing:
            found[place] = part.keep(key, rows[place // n_parts][part.cells])

    def _join(self, found: Sequence[bytes], n_rows: int) -> NDArray[np.float32]:
        """Return what the parts gave, row by row, as columns in the graph's order."""
        computed = np.frombuffer(b"".join(found), np.float32).reshape(n_rows, -1)
        return computed if self._order is None else computed[:, self._order]


class _Part:
    """Some of the computed features.

    Attributes
    ----------
    cells
        The bytes of its features among those of all parts.
    kept
        What was computed last, float32, by its key.
    elapsed_sec
        How long one row takes that is not kept.
    key
        Gives the bits of a row that this depends on.
    """

    def __init__(self, part: IndependentPart, begin: int) -> None:
        self.cells = slice(4 * begin, 4 * (begin + len(part.places)))
        self.kept: dict[bytes, bytes] = {}
        self.elapsed_sec = 0.0
        self.key = _make_key(part.inputs)
        self._run = RowProgram(part.calculation).run

    def compute(self, row: Sequence[float]) -> bytes:
        """Compute a row's features."""
        # An array rounds to float32 as the runtime does, to infinity beyond its range.
        return array("f", self._run(row)).tobytes()

    def keep(self, key: bytes, computed: bytes) -> bytes:
        """Keep a row's features, and return them."""
        if len(self.kept) >= _MOST_REMEMBERED:
            self.kept.clear()
        self.kept[key] = computed
        return computed

    def measure(self, rows: Sequence[Sequence[float]]) -> None:
        """Find out how long a row takes."""
        self.elapsed_sec = _time(lambda: [self.compute(row) for row in rows]) / len(rows)


_Missing: TypeAlias = tuple[int, _Part, bytes, Sequence[float]]
"""Features of one row that are not kept: their place, their part, its key, and the row."""


def _make_key(inputs: Sequence[int]) -> Callable[[Sequence[float]], bytes]:
    """Return what gives the bits of some columns of a row."""
    pack = struct.Struct(f"<{len(inputs)}d").pack
    begin, end = min(inputs, default=0), max(inputs, default=-1) + 1
    if end - begin == len(inputs):
        return lambda row: pack(*row[begin:end])
    choose = itemgetter(*inputs)
    return lambda row: pack(*choose(row))


def _proof_rows(n_inputs: int) -> NDArray[np.float64]:
    """Return special values beside themselves and others, then ordinary ones."""
    values, columns = np.array(_SPECIAL_VALUES), np.arange(n_inputs)
    places = np.arange(len(values))[:, None]
    turned = [values[(places + columns * step) % len(values)] for step in _STEPS]
    ordinary = np.random.default_rng(_SEED).uniform(-400.0, 400.0, (_N_ORDINARY_ROWS, n_inputs))
    return np.concatenate([*turned, ordinary])


def _bits(values: NDArray[np.float32]) -> bytes:
    """Return the bytes of values, all NaN alike: nobody reads what else they say."""
    return np.where(np.isnan(values), np.float32(np.nan), values).tobytes()


def _time(call: Callable[[], object]) -> float:
    """Return the shortest of a few runs, in seconds."""
    elapsed_sec = []
    for _ in range(_N_TIMED):
        begin = time.perf_counter()
        call()
        elapsed_sec.append(time.perf_counter() - begin)
    return min(elapsed_sec)
