"""The graph's inputs for a single row, without arrays: those cost more than a row's numbers.

What comes out equals what the way for many rows gives, to the bit. A row in which something
needs a closer look is left to that way.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zeroskew.contract.feature_status import FeatureStatus
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.model.plan.cell_decoder import FIXED_LAYOUTS, CellColumn, encode_nan, gather_of
from zeroskew.model.plan.feature_matrix import FeatureOrigins
from zeroskew.model.plan.plan_compiler import RequestColumn
from zeroskew.model.requests.instances import RequestRow
from zeroskew.online.reader import Cell, StoredFeatures
from zeroskew.online.values.decode import TAGS, ValueType

__all__ = ["GraphInputs", "RowAssembler"]

GraphInputs: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float64]]
"""float32 ``features`` and float64 ``request``."""

_NAN: Final = float("nan")
_PRESENT: Final = int(FeatureStatus.PRESENT)
_NULL: Final = int(FeatureStatus.NULL)
_MISSING: Final = bytes([FeatureStatus.MISSING])


class RowAssembler:
    """Assembles one row.

    Parameters
    ----------
    widths
        How many features each lookup has.
    ttls_us
        The time to live of each view.
    view_sizes
        How many features each view has.
    cells
        The cells to decode.
    request
        The values to take from the request, and whether whole numbers among them are rounded to
        float32 in one step.
    features, inputs
        The columns of the graph's ``features`` and ``request``: for each the place of its
        number among `cells`, which `request` follows.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        ttls_us: Sequence[int],
        view_sizes: Sequence[int],
        cells: Sequence[CellColumn],
        request: Sequence[tuple[RequestColumn, bool]],
        features: Sequence[int],
        inputs: Sequence[int],
    ) -> None:
        self._widths = tuple(widths)
        self._ttls_us = tuple(ttls_us)
        self._view_sizes = tuple(view_sizes)
        self._request = tuple(request)
        starts = [sum(widths[:lookup]) for lookup in range(len(widths))]
        positions = [starts[cell.lookup] + cell.position for cell in cells]
        # The numbers come in this order: those of one width, then the others, then the request's.
        order: list[int] = []
        self._fixed: list[_FixedCells] = []
        for kind in FIXED_LAYOUTS:
            chosen = [i for i, cell in enumerate(cells) if cell.kind is kind]
            if chosen:
                order += chosen
                self._fixed.append(_FixedCells(kind, [positions[i] for i in chosen]))
        others = [i for i, cell in enumerate(cells) if cell.kind not in FIXED_LAYOUTS]
        self._tables = [(positions[i], cells[i].numbers) for i in others]
        self._others = [(positions[i], cells[i]) for i in others]
        order += [*others, *range(len(cells), len(cells) + len(request))]
        place = {number: i for i, number in enumerate(order)}
        self._features = _PackedRow([place[i] for i in features], "f")
        self._inputs = _PackedRow([place[i] for i in inputs], "d")

    def assemble(self, row: RequestRow, stored: StoredFeatures, now_us: int) -> GraphInputs | None:
        """Return the graph's inputs of a row, ``(1, n_columns)`` each.

        Returns ``None`` where a value is not live, has an explicit null, is damaged or of
        another type, or is beyond float32, and where a view's values have several event times.
        """
        if stored.view_times is None:
            return None
        for event_us, ttl_us in zip(stored.view_times, self._ttls_us, strict=True):
            if not now_us - ttl_us <= event_us <= now_us and event_us != NEVER_US:
                return None
        kept = stored.kept
        decoded = None if kept is None else kept.numbers
        if decoded is None:
            decoded = self._decode(stored)
            if decoded is None:
                return None
            if kept is not None:
                kept.numbers = decoded
        numbers = [*decoded]
        numbers += [_request_number(row, column, narrow) for column, narrow in self._request]
        try:
            return self._features.pack(numbers), self._inputs.pack(numbers)
        except OverflowError:
            return None

    def _decode(self, stored: StoredFeatures) -> Sequence[float] | None:
        cells: list[Cell] = []
        for (found,), width in zip(stored.entities, self._widths, strict=True):
            cells += found[:width]
        numbers: list[float] = []
        for fixed in self._fixed:
            decoded = fixed.decode(cells)
            if decoded is None:
                return None
            numbers += decoded
        numbers += [table[cells[position]] for position, table in self._tables]
        return numbers

    def describe(self, stored: StoredFeatures) -> FeatureOrigins:
        """Return where the features of a row come from that `assemble` has assembled.

        All of them are live or of views in which the entity has no row.
        """
        assert stored.view_times is not None
        cells: list[Cell] = []
        for (found,), width in zip(stored.entities, self._widths, strict=True):
            cells += found[:width]
        status = bytearray(_NULL if not cell else _PRESENT for cell in cells)
        for position, column in self._others:
            cell = cells[position]
            if cell and column.numbers[cell] != column.numbers[cell] and column.value(cell) is None:
                status[position] = _NULL
        start = 0
        for event_us, size in zip(stored.view_times, self._view_sizes, strict=True):
            if event_us == NEVER_US:
                status[start : start + size] = _MISSING * size
            start += size
        times = np.array(stored.view_times, np.int64).repeat(self._view_sizes)
        return FeatureOrigins(np.frombuffer(status, np.uint8).reshape(1, -1), times.reshape(1, -1))


class _FixedCells:
    """Cells whose values are a tag and an IEEE 754 number of one width."""

    def __init__(self, kind: ValueType, positions: Sequence[int]) -> None:
        size = FIXED_LAYOUTS[kind].itemsize
        self._nan = encode_nan(kind)
        self._gather = gather_of(positions)
        self._size = size
        self._sizes = {size}
        self._tags = TAGS[kind] * len(positions)
        number = "f" if kind is ValueType.FLOAT else "d"
        self._unpack = struct.Struct("<" + f"x{number}" * len(positions)).unpack

    def decode(self, row: Sequence[Cell]) -> tuple[float, ...] | None:
        """Return the numbers, NaN for a null; ``None`` where a cell is not such a value."""
        nan = self._nan
        cells = [cell or nan for cell in self._gather(row)]
        if set(map(len, cells)) != self._sizes:
            return None
        data = b"".join(cells)
        return self._unpack(data) if data[:: self._size] == self._tags else None


class _PackedRow:
    """One input of the graph: which numbers it takes, and how they are written."""

    def __init__(self, places: Sequence[int], number: str) -> None:
        self._places = tuple(places)
        self._choose = itemgetter(*places) if len(places) > 1 else None
        self._pack = struct.Struct(f"<{len(places)}{number}").pack
        self._dtype = np.dtype("<f4" if number == "f" else "<f8")

    def pack(self, numbers: Sequence[float]) -> NDArray[Any]:
        if self._choose is not None:
            packed = self._pack(*self._choose(numbers))
        else:
            packed = self._pack(*(numbers[place] for place in self._places))
        return np.frombuffer(packed, self._dtype).reshape(1, len(self._places))


def _request_number(row: RequestRow, column: RequestColumn, narrow: bool) -> float:
    """Return a request field's number; a null and an unlisted text are NaN."""
    value = row[column.position]
    if column.codes is not None:
        return column.codes.get(str(value), _NAN)
    if value is None:
        return _NAN
    if narrow and isinstance(value, int):
        # One rounding only: `np.float32` of a Python number would go by way of float64.
        return float(np.int64(value).astype(np.float32))
    return float(value)
