"""Columns of stored cells decoded at once: bytes in, float64 out, nulls apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from api.errors import OnlineValueError
from api.prediction.value_codec import TAGS, Value, ValueType, decode_value

__all__ = ["CellColumn", "CellDecoder", "Places", "as_places"]

_TABLE_SIZE: Final = 8192
"""How many different stored values a table remembers before it is emptied."""

_FIXED: Final = {
    ValueType.FLOAT: np.dtype([("tag", "u1"), ("value", "<f4")]),
    ValueType.DOUBLE: np.dtype([("tag", "u1"), ("value", "<f8")]),
}
_Cell: TypeAlias = bytes | None
Places: TypeAlias = slice | NDArray[np.intp]
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
    """One column to decode: where its cells stand in a row, their type, and its codes.

    Parameters
    ----------
    position
        The position among a row's cells.
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
        position: int,
        name: str,
        kind: ValueType,
        codes: Mapping[str, int] | None = None,
        *,
        narrow: bool,
    ) -> None:
        self.position = position
        self.name = name
        self.kind = kind
        self._codes = codes
        self._narrow = narrow

    def number(self, cell: _Cell) -> float:
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

    def value(self, cell: _Cell) -> Value | None:
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
    """Decodes the same columns of many rows.

    Floats of one width are read as one array. Everything else has few different values, so
    each column remembers what their bytes mean.

    Parameters
    ----------
    columns
        The columns of the result, in its order.
    """

    def __init__(self, columns: Sequence[CellColumn]) -> None:
        self._columns = tuple(columns)
        self._fixed: list[tuple[Places, _FixedColumns]] = []
        for kind in _FIXED:
            chosen = [i for i, column in enumerate(columns) if column.kind is kind]
            if chosen:
                fixed = _FixedColumns([columns[i] for i in chosen])
                self._fixed.append((as_places(chosen), fixed))
        others = [i for i, column in enumerate(columns) if column.kind not in _FIXED]
        self._others = as_places(others)
        self._tables = [(columns[i].position, _NumberTable(columns[i])) for i in others]

    def decode(self, rows: Sequence[Sequence[_Cell]]) -> tuple[_Floats, NDArray[np.bool_]]:
        """Return the numbers of some rows' cells, and which of them are null.

        Parameters
        ----------
        rows
            ``n_rows`` rows of cells.

        Returns
        -------
        numbers, is_null
            float64 and bool ``(n_rows, n_columns)``. A null is NaN; so are a stored NaN and a
            text that has no code, which are not null.

        Raises
        ------
        OnlineValueError
            If a cell is damaged or of another type; the message names the feature.
        """
        numbers = np.empty((len(rows), len(self._columns)))
        for chosen, fixed in self._fixed:
            numbers[:, chosen] = fixed.decode(rows)
        if self._tables and rows:
            tables = self._tables
            numbers[:, self._others] = [
                [table[row[position]] for position, table in tables] for row in rows
            ]
        is_null = np.zeros(numbers.shape, np.bool_)
        unknown = np.isnan(numbers)
        if unknown.any():
            columns = self._columns
            is_null[unknown] = [
                not (cell := rows[i][columns[j].position]) or columns[j].value(cell) is None
                for i, j in np.argwhere(unknown).tolist()
            ]
        return numbers, is_null


class _FixedColumns:
    """Columns whose values are a tag and an IEEE 754 number of one width."""

    def __init__(self, columns: Sequence[CellColumn]) -> None:
        kind = columns[0].kind
        self._columns = columns
        self._layout = _FIXED[kind]
        self._tag = TAGS[kind]
        self._null = self._tag + np.array(np.nan, self._layout["value"]).tobytes()
        self._gather = _gather_of([column.position for column in columns])

    def decode(self, rows: Sequence[Sequence[_Cell]]) -> NDArray[Any]:
        """Return float32 or float64 ``(n_rows, n_columns)``; a null is NaN."""
        cells = [cell or self._null for cell in chain.from_iterable(map(self._gather, rows))]
        if not set(map(len, cells)) <= {self._layout.itemsize}:
            return self._decode_singly(rows)
        data = b"".join(cells)
        if data[:: self._layout.itemsize] != self._tag * len(cells):
            return self._decode_singly(rows)
        values = np.frombuffer(data, self._layout)["value"]
        return values.reshape(len(rows), len(self._columns))

    def _decode_singly(self, rows: Sequence[Sequence[_Cell]]) -> NDArray[Any]:
        """Decode what the fast way does not expect: explicit nulls, and what is to be refused."""
        columns = self._columns
        numbers = [[column.number(row[column.position]) for column in columns] for row in rows]
        return np.array(numbers).reshape(len(rows), len(columns))


class _NumberTable(dict[_Cell, float]):
    """The numbers of the cells of one column that came by so far."""

    def __init__(self, column: CellColumn) -> None:
        super().__init__()
        self._column = column

    def __missing__(self, cell: _Cell) -> float:
        number = self._column.number(cell)
        if len(self) >= _TABLE_SIZE:
            self.clear()
        self[cell] = number
        return number


def _gather_of(positions: Sequence[int]) -> Callable[[Sequence[_Cell]], Sequence[_Cell]]:
    """Return a function from a row to the cells at `positions`."""
    if len(positions) == 1:
        only = positions[0]
        return lambda row: row[only : only + 1]
    return itemgetter(*positions)
