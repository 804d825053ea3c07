"""Columns of stored cells decoded at once: bytes in, float64 out, nulls apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from zeroskew.contract.errors.service import OnlineValueError
from zeroskew.online.reader import Cell, StoredFeatures
from zeroskew.online.values.decode import TAGS, Value, ValueType, decode_value
from zeroskew.online.values.entity_table import EntityTable

__all__ = [
    "FIXED_LAYOUTS",
    "CellColumn",
    "CellDecoder",
    "Places",
    "as_places",
    "encode_nan",
    "gather_of",
]

_TABLE_SIZE: Final = 4096
"""How many different stored values a table remembers before it is emptied."""

FIXED_LAYOUTS: Final = {
    ValueType.FLOAT: np.dtype([("tag", "u1"), ("value", "<f4")]),
    ValueType.DOUBLE: np.dtype([("tag", "u1"), ("value", "<f8")]),
}
"""How the numbers of one width are stored."""

_Entities: TypeAlias = Sequence[Sequence[Sequence[Cell]]]
Places: TypeAlias = slice | NDArray[np.intp]
_Item = TypeVar("_Item")
_Floats: TypeAlias = NDArray[np.float64]


def as_places(places: Sequence[int]) -> Places:
    """Return positions to index an axis with: a slice where they follow each other.

    >>> as_places([2, 3, 4]), as_places([2, 4])
    (slice(2, 5, None), array([2, 4]))
    """
    if len(places) and list(places) == list(range(places[0], places[0] + len(places))):
        return slice(places[0], places[0] + len(places))
    return np.array(places, np.intp)


class CellColumn:
    """One column to decode: where its cells stand, their type, and its codes.

    Parameters
    ----------
    lookup, position
        Which of the layout's lookups has it, and its place among the cells of an entity.
    name
        The feature as ``view:feature``, for messages.
    kind
        The type that its stored values must have.
    codes
        For text, the number of each known text; else ``None``.
    narrow
        Whether whole numbers are rounded to float32, as the model's columns are, in one step.
    """

    def __init__(
        self,
        lookup: int,
        position: int,
        name: str,
        kind: ValueType,
        codes: Mapping[str, int] | None = None,
        *,
        narrow: bool,
    ) -> None:
        self.lookup = lookup
        self.position = position
        self.name = name
        self.kind = kind
        self._codes = codes
        self._narrow = narrow
        self.numbers: dict[Cell, float] = _NumberTable(self)
        """The number of each cell that came by so far, and of any other that is asked for."""

    def number(self, cell: Cell) -> float:
        """Return the number of a cell; NaN where it is null, or text that has no code.

        Raises
        ------
        OnlineValueError
            If the cell is damaged or of another type; the message names the feature.
        """
        return self.number_of(self.value(cell))

    def number_of(self, value: Value | None) -> float:
        """Return the number that stands for a value of this column."""
        if value is None:
            return math.nan
        if self._codes is not None:
            assert isinstance(value, str)
            return float(self._codes.get(value, math.nan))
        assert isinstance(value, int | float)
        if self._narrow and isinstance(value, int):
            return float(np.int64(value).astype(np.float32))
        return float(value)

    def value(self, cell: Cell) -> Value | None:
        """Return the Python value of a cell, ``None`` where it is null.

        Raises
        ------
        OnlineValueError
            If the cell is damaged or of another type; the message names the feature.
        """
        try:
            return None if cell is None else decode_value(cell, self.kind)
        except OnlineValueError as error:
            raise OnlineValueError(f"Feature {self.name}: {error}") from error


class CellDecoder:
    """Decodes the same columns of many rows, the cells of each entity once.

    Floats of one width are read as one array. Everything else has few different values, so
    each column remembers what their bytes mean.

    Parameters
    ----------
    columns
        The columns of the result, in its order.
    """

    def __init__(self, columns: Sequence[CellColumn]) -> None:
        parts: list[_FixedColumns | _OtherColumns] = []
        for kind in FIXED_LAYOUTS:
            chosen = [(i, column) for i, column in enumerate(columns) if column.kind is kind]
            if chosen:
                parts.append(_FixedColumns(chosen))
        others = [(i, c) for i, c in enumerate(columns) if c.kind not in FIXED_LAYOUTS]
        if others:
            parts.append(_OtherColumns(others))
        self._parts = parts
        self._runs = [run for part in parts for run in part.runs]
        self._table = EntityTable([(run.lookup, run.places) for run in self._runs], len(columns))

    def decode(self, stored: StoredFeatures) -> tuple[_Floats, NDArray[np.bool_] | None]:
        """Return the numbers of some rows' cells, and which of them are null.

        Parameters
        ----------
        stored
            What was read for ``n_rows`` rows.

        Returns
        -------
        numbers, is_null
            float64 and bool ``(n_rows, n_columns)``. A null is NaN; so are a stored NaN and a
            text that has no code, which are not null. ``is_null`` is ``None`` where nothing is.

        Raises
        ------
        OnlineValueError
            If a cell is damaged or of another type; the message names the feature.
        """
        entities = stored.entities
        if not self._parts:
            return np.empty((len(stored.places), 0)), None
        values = np.concatenate([part.decode(entities) for part in self._parts], dtype=np.float64)
        index = self._table.index([len(found) for found in entities], stored.places)
        unknown = np.isnan(values)
        if not unknown.any():
            return values.take(index), None
        is_null = np.zeros(len(values), np.bool_)
        is_null[unknown] = list(self._find_nulls(entities, unknown.nonzero()[0].tolist()))
        return values.take(index), is_null.take(index)

    def _find_nulls(self, entities: _Entities, places: Sequence[int]) -> Iterator[bool]:
        """Say of some places, in their order, whether their cells are null."""
        remaining, start = iter(places), 0
        place = next(remaining, None)
        for run in self._runs:
            found, width = entities[run.lookup], len(run.columns)
            end = start + len(found) * width
            while place is not None and place < end:
                entity, number = divmod(place - start, width)
                column = run.columns[number]
                cell = found[entity][column.position]
                yield not cell or column.value(cell) is None
                place = next(remaining, None)
            start = end


@dataclass(frozen=True, slots=True)
class _Run:
    """Columns of one lookup; ``places`` are their places in the result."""

    lookup: int
    places: tuple[int, ...]
    columns: tuple[CellColumn, ...]


def _split_by_lookup(columns: Sequence[tuple[int, CellColumn]]) -> list[_Run]:
    runs = []
    for lookup in sorted({column.lookup for _, column in columns}):
        chosen = [(i, column) for i, column in columns if column.lookup == lookup]
        runs.append(_Run(lookup, tuple(i for i, _ in chosen), tuple(c for _, c in chosen)))
    return runs


class _FixedColumns:
    """Columns whose values are a tag and an IEEE 754 number of one width."""

    def __init__(self, columns: Sequence[tuple[int, CellColumn]]) -> None:
        kind = columns[0][1].kind
        self.runs = _split_by_lookup(columns)
        self._layout = FIXED_LAYOUTS[kind]
        self._tag = TAGS[kind]
        self._nan = encode_nan(kind)
        self._gathers = [
            (run.lookup, gather_of([column.position for column in run.columns]))
            for run in self.runs
        ]

    def decode(self, entities: _Entities) -> NDArray[Any]:
        """Return float32 or float64 ``(n_cells,)``, run after run; a null is NaN."""
        nan = self._nan
        cells = [
            cell or nan
            for lookup, gather in self._gathers
            for cell in chain.from_iterable(map(gather, entities[lookup]))
        ]
        size = self._layout.itemsize
        if not set(map(len, cells)) <= {size}:
            return self._decode_singly(entities)
        data = b"".join(cells)
        if data[::size] != self._tag * len(cells):
            return self._decode_singly(entities)
        values: NDArray[Any] = np.frombuffer(data, self._layout)["value"]
        return values

    def _decode_singly(self, entities: _Entities) -> NDArray[Any]:
        """Decode what the fast way does not expect: explicit nulls, and what is to be refused."""
        return np.array(
            [
                column.number(cells[column.position])
                for run in self.runs
                for cells in entities[run.lookup]
                for column in run.columns
            ]
        )


class _OtherColumns:
    """Columns of every other type."""

    def __init__(self, columns: Sequence[tuple[int, CellColumn]]) -> None:
        self.runs = _split_by_lookup(columns)
        self._tables = [
            (run.lookup, [(column.position, column.numbers) for column in run.columns])
            for run in self.runs
        ]

    def decode(self, entities: _Entities) -> list[float]:
        """Return the numbers, run after run; a null is NaN."""
        return [
            table[cells[position]]
            for lookup, tables in self._tables
            for cells in entities[lookup]
            for position, table in tables
        ]


class _NumberTable(dict[Cell, float]):
    """The numbers of the cells of one column that came by so far."""

    def __init__(self, column: CellColumn) -> None:
        super().__init__()
        self._column = column

    def __missing__(self, cell: Cell) -> float:
        number = self._column.number(cell)
        if len(self) >= _TABLE_SIZE:
            self.clear()
        self[cell] = number
        return number


def gather_of(positions: Sequence[int]) -> Callable[[Sequence[_Item]], Sequence[_Item]]:
    """Return a function from a sequence to its items at `positions`."""
    if not positions:
        return lambda _: ()
    if len(positions) == 1:
        only = positions[0]
        return itemgetter(slice(only, only + 1))
    return itemgetter(*positions)


def encode_nan(kind: ValueType) -> bytes:
    """Return the stored value that is not a number, of type ``FLOAT`` or ``DOUBLE``."""
    return TAGS[kind] + np.array(np.nan, FIXED_LAYOUTS[kind]["value"]).tobytes()
