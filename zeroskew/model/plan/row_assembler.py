"""The graph's inputs for few rows, without arrays: those cost more than a row's numbers.

What comes out equals what the way for many rows gives, to the bit. What an entity's cells mean is
worked out once for as long as the same of its values are live. Rows in which something is to be
refused are left to that way.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zeroskew.contract.errors.service import OnlineValueError
from zeroskew.contract.feature_status import FeatureStatus
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.model.plan.cell_decoder import FIXED_LAYOUTS, CellColumn, encode_nan, gather_of
from zeroskew.model.plan.feature_matrix import FeatureMatrix, FeatureOrigins
from zeroskew.model.plan.plan_compiler import RequestColumn
from zeroskew.model.requests.instances import RequestRow
from zeroskew.online.reader import Cell, EntityRow
from zeroskew.online.values.decode import TAGS, ValueType

__all__ = ["RowAssembler", "ViewRule"]

_NAN: Final = float("nan")
_EARLIEST_US: Final = -(2**63)
_LATEST_US: Final = 2**63
_EntityRows: TypeAlias = Sequence[Sequence[EntityRow]]


@dataclass(frozen=True, slots=True)
class ViewRule:
    """How many features a view has, how long their values live, and what becomes of others."""

    n_features: int
    ttl_us: int
    when_stale: str


class RowAssembler:
    """Assembles few rows.

    Parameters
    ----------
    lookups
        The views of each lookup.
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
        lookups: Sequence[Sequence[ViewRule]],
        cells: Sequence[CellColumn],
        request: Sequence[tuple[RequestColumn, bool]],
        features: Sequence[int],
        inputs: Sequence[int],
    ) -> None:
        self._request = tuple(request)
        self._decoders: list[_EntityDecoder] = []
        # The numbers come in this order: those of each lookup, then the request's.
        order: list[int] = []
        for number, rules in enumerate(lookups):
            chosen = [i for i, cell in enumerate(cells) if cell.lookup == number]
            decoder = _EntityDecoder([cells[i] for i in chosen], rules)
            order += [chosen[i] for i in decoder.order]
            self._decoders.append(decoder)
        order += range(len(cells), len(cells) + len(request))
        place = {number: i for i, number in enumerate(order)}
        self._features = _PackedRows([place[i] for i in features], "f")
        self._inputs = _PackedRows([place[i] for i in inputs], "d")

    def assemble(
        self, rows: Sequence[RequestRow], stored: _EntityRows, now_us: int
    ) -> FeatureMatrix | None:
        """Return the graph's inputs for some rows and each row's entities.

        Returns ``None`` where a value is damaged, of another type or beyond float32, and where
        one is not live and its view says ``reject``.
        """
        numbers_of_rows: list[list[float]] = []
        decoded_rows: list[list[_Decoded]] = []
        for row, entities in zip(rows, stored, strict=True):
            numbers: list[float] = []
            of_row: list[_Decoded] = []
            for entity, decoder in zip(entities, self._decoders, strict=True):
                decoded: _Decoded | None = entity.decoded
                if decoded is None or not decoded.since_us <= now_us <= decoded.until_us:
                    decoded = decoder.decode(entity, now_us)
                    if decoded is None:
                        return None
                    entity.decoded = decoded
                numbers += decoded.numbers
                of_row.append(decoded)
            numbers += [_request_number(row, column, narrow) for column, narrow in self._request]
            numbers_of_rows.append(numbers)
            decoded_rows.append(of_row)
        try:
            features = self._features.pack(numbers_of_rows)
        except OverflowError:
            return None
        inputs = self._inputs.pack(numbers_of_rows)
        return FeatureMatrix(features, inputs, lambda: self._describe(decoded_rows))

    def _describe(self, rows: Sequence[Sequence[_Decoded]]) -> FeatureOrigins:
        """Return where the features of rows come from."""
        status, times = bytearray(), array("q")
        for row in rows:
            for decoded, decoder in zip(row, self._decoders, strict=True):
                if decoded.origins is None:
                    decoded.origins = decoder.describe(decoded)
                status += decoded.origins[0]
                times += decoded.origins[1]
        shape = (len(rows), -1)
        return FeatureOrigins(
            np.frombuffer(status, np.uint8).reshape(shape),
            np.frombuffer(times, np.int64).reshape(shape),
        )


@dataclass(slots=True, eq=False)
class _Decoded:
    """What an entity's cells mean at any time from ``since_us`` to ``until_us``.

    ``statuses`` and ``view_times`` are those of its views, ``origins`` each cell's status and event
    time, once somebody has asked.
    """

    cells: Sequence[Cell]
    view_times: Sequence[int]
    numbers: Sequence[float]
    since_us: int
    until_us: int
    statuses: Sequence[FeatureStatus]
    origins: tuple[bytes, array[int]] | None = None


class _EntityDecoder:
    """Decodes the entities of one lookup.

    Attributes
    ----------
    order
        Which of the columns each number is.
    """

    def __init__(self, columns: Sequence[CellColumn], rules: Sequence[ViewRule]) -> None:
        self._rules = rules
        chosen = [[i for i, c in enumerate(columns) if c.kind is kind] for kind in FIXED_LAYOUTS]
        self._fixed = [_FixedCells([columns[i] for i in of_kind]) for of_kind in chosen if of_kind]
        others = [i for i, column in enumerate(columns) if column.kind not in FIXED_LAYOUTS]
        self.order = [*chain.from_iterable(chosen), *others]
        self._tables = [(columns[i].position, columns[i].numbers) for i in others]
        self._columns = [columns[i] for i in self.order]
        ends = accumulate([rule.n_features for rule in rules], initial=0)
        self._spans = [range(*span) for span in pairwise(ends)]

    def decode(self, entity: EntityRow, now_us: int) -> _Decoded | None:
        """Return what an entity's cells mean at a time, ``None`` where one is to be refused."""
        cells = entity.cells
        numbers: list[float] = []
        try:
            for fixed in self._fixed:
                numbers += fixed.decode(cells)
            numbers += [table[cells[position]] for position, table in self._tables]
        except OnlineValueError:
            return None
        since_us, until_us = _EARLIEST_US, _LATEST_US
        statuses: list[FeatureStatus] = []
        for event_us, rule, span in zip(entity.view_times, self._rules, self._spans, strict=True):
            status, begin_us, end_us = _status_at(event_us, rule.ttl_us, now_us)
            since_us, until_us = max(since_us, begin_us), min(until_us, end_us)
            statuses.append(status)
            if status is FeatureStatus.PRESENT or rule.when_stale == "serve":
                continue
            if status is not FeatureStatus.MISSING and rule.when_stale == "reject":
                return None
            for place, column in enumerate(self._columns):
                if column.position in span:
                    numbers[place] = _NAN
        return _Decoded(cells, entity.view_times, numbers, since_us, until_us, statuses)

    def describe(self, decoded: _Decoded) -> tuple[bytes, array[int]]:
        """Return the status and the event time of each cell."""
        cells = decoded.cells
        status = bytearray()
        for of_view, span in zip(decoded.statuses, self._spans, strict=True):
            status += bytes([of_view]) * len(span)
        for number, column in zip(decoded.numbers, self._columns, strict=True):
            place = column.position
            # A null is not a number; not every value that is none is a null.
            if (
                number != number
                and status[place] == FeatureStatus.PRESENT
                and column.value(cells[place]) is None
            ):
                status[place] = FeatureStatus.NULL
        times = array("q")
        for event_us, span in zip(decoded.view_times, self._spans, strict=True):
            times.extend([event_us] * len(span))
        return bytes(status), times


def _status_at(event_us: int, ttl_us: int, now_us: int) -> tuple[FeatureStatus, int, int]:
    """Return the status of values at a time, and from when to when they have it."""
    if event_us == NEVER_US:
        return FeatureStatus.MISSING, _EARLIEST_US, _LATEST_US
    if now_us < event_us:
        return FeatureStatus.FUTURE, _EARLIEST_US, event_us - 1
    if now_us <= event_us + ttl_us:
        return FeatureStatus.PRESENT, event_us, event_us + ttl_us
    return FeatureStatus.STALE, event_us + ttl_us + 1, _LATEST_US


class _FixedCells:
    """Cells whose values are a tag and an IEEE 754 number of one width."""

    def __init__(self, columns: Sequence[CellColumn]) -> None:
        kind = columns[0].kind
        size = FIXED_LAYOUTS[kind].itemsize
        self._columns = columns
        self._nan = encode_nan(kind)
        self._gather = gather_of([column.position for column in columns])
        self._size = size
        self._sizes = {size}
        self._tags = TAGS[kind] * len(columns)
        number = "f" if kind is ValueType.FLOAT else "d"
        self._unpack = struct.Struct("<" + f"x{number}" * len(columns)).unpack

    def decode(self, row: Sequence[Cell]) -> Sequence[float]:
        """Return the numbers, NaN for a null.

        Raises
        ------
        OnlineValueError
            If a cell is damaged or of another type.
        """
        nan = self._nan
        cells = [cell or nan for cell in self._gather(row)]
        data = b"".join(cells)
        if set(map(len, cells)) == self._sizes and data[:: self._size] == self._tags:
            return self._unpack(data)
        return [column.number(row[column.position]) for column in self._columns]


class _PackedRows:
    """One input of the graph: which numbers it takes, and how they are written."""

    def __init__(self, places: Sequence[int], number: str) -> None:
        self._width = len(places)
        self._gather: Callable[[Sequence[float]], Sequence[float]] = gather_of(places)
        self._pack = struct.Struct(f"<{len(places)}{number}").pack
        self._dtype = np.dtype("<f4" if number == "f" else "<f8")

    def pack(self, rows: Sequence[Sequence[float]]) -> NDArray[Any]:
        packed = [self._pack(*self._gather(numbers)) for numbers in rows]
        return np.frombuffer(b"".join(packed), self._dtype).reshape(len(rows), self._width)


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
