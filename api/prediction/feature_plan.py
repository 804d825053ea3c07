"""From request rows and stored bytes to the matrices that the graph takes. All of it is pure.

A request row is a tuple with one value for each of the manifest's request fields, in their
order; a timestamp is seconds since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from api.contract.manifest import FeaturePlan, GoldenKey, RequestField
from api.errors import ModelRefusedError, OnlineValueError
from api.prediction.online_features import EntityRow, StoredValue, ViewQuery
from api.prediction.plan_compiler import CompiledView, OnlineColumn, PlanCompiler
from api.prediction.value_codec import Value, decode_value, encode_key_value
from api.schemas import RequestRow

__all__ = ["CompiledPlan", "FeatureMatrix", "FeatureStatus"]


class FeatureStatus(IntEnum):
    """Why a cell of the feature matrix is what it is.

    A stored value reaches the model only as ``PRESENT``; else its cell is NaN. ``STALE`` is older
    than its view's ttl. ``FUTURE`` has an event time after the clock's: training's
    point-in-time join would not have seen it either. ``REQUEST`` comes from the caller.
    """

    PRESENT = 0
    NULL = 1
    MISSING = 2
    STALE = 3
    FUTURE = 4
    REQUEST = 5


@dataclass(frozen=True, slots=True)
class FeatureMatrix:
    """The graph's ``features``, float32, and the `FeatureStatus` of each cell, uint8.

    Both are ``(n_rows, n_columns)`` in the plan's column order.
    """

    values: NDArray[np.float32]
    status: NDArray[np.uint8]


class CompiledPlan:
    """A feature plan checked against the request fields and turned into positions.

    Parameters
    ----------
    request
        The manifest's request fields; a request row has their order.
    plan
        The manifest's feature plan.

    Raises
    ------
    ModelRefusedError
        If the plan contradicts itself, names something that is not declared, or holds a
        type that the service cannot read (lists, sets, maps).
    """

    def __init__(self, request: Sequence[RequestField], plan: FeaturePlan) -> None:
        compiler = PlanCompiler(request, plan)
        self._n_columns = len(plan.columns)
        self._views = compiler.views()
        self._request_columns = compiler.request_columns()
        self._request_inputs = compiler.request_inputs()

    @property
    def n_columns(self) -> int:
        """The width of the graph's ``features``."""
        return self._n_columns

    @property
    def n_request_inputs(self) -> int:
        """The width of the graph's ``request``; 0 where the graph has no such input."""
        return len(self._request_inputs)

    @property
    def tables(self) -> dict[str, str]:
        """The online table of each view, by view name."""
        return {view.name: view.table for view in self._views}

    def serialize_keys(self, rows: Sequence[RequestRow]) -> list[list[bytes | None]]:
        """Return for each view the serialised entity key of each row.

        A row with a null among the join keys of a view has the key ``None``: null matches
        nothing, as in training.
        """
        return [[_serialize_key(view, row) for row in rows] for view in self._views]

    def queries(self, keys: Sequence[Sequence[bytes | None]]) -> list[ViewQuery]:
        """Return what to read for `keys`, from `serialize_keys`, naming each key once."""
        return [
            ViewQuery(
                view=view.name,
                table=view.table,
                features=view.features,
                keys=tuple(dict.fromkeys(key for key in view_keys if key is not None)),
            )
            for view, view_keys in zip(self._views, keys, strict=True)
        ]

    def assemble(
        self,
        rows: Sequence[RequestRow],
        keys: Sequence[Sequence[bytes | None]],
        stored: Sequence[Mapping[bytes, EntityRow]],
        now_us: int,
    ) -> FeatureMatrix:
        """Put stored values and request values into the graph's ``features``.

        A stored value with event time ``e`` is live at ``t = now_us`` when
        ``t - ttl_us <= e <= t``, both bounds included. Text that is not among a column's
        categories is NaN, and so is everything that is not live; a number beyond float32
        becomes an infinity, as in training.

        Parameters
        ----------
        rows
            ``n_rows`` request rows.
        keys
            What `serialize_keys` returned for `rows`.
        stored
            The reader's answer to `queries`.
        now_us
            The time of the prediction in microseconds since the Unix epoch.

        Raises
        ------
        OnlineValueError
            If a stored value is not of the type that the plan says; it names the feature.
        """
        shape = (len(rows), self._n_columns)
        matrix = FeatureMatrix(np.empty(shape, np.float32), np.empty(shape, np.uint8))
        for view, view_keys, entity_rows in zip(self._views, keys, stored, strict=True):
            found = [None if key is None else entity_rows.get(key) for key in view_keys]
            for column in view.columns:
                cells = [None if row is None else row[column.position] for row in found]
                _fill_online_column(matrix, view, column, cells, now_us)
        for request_column in self._request_columns:
            values = [row[request_column.position] for row in rows]
            index = request_column.index
            matrix.values[:, index] = _to_float32(values, request_column.codes)
            matrix.status[:, index] = FeatureStatus.REQUEST
        return matrix

    def request_matrix(self, rows: Sequence[RequestRow]) -> NDArray[np.float64]:
        """Return the graph's ``request``, float64 ``(n_rows, n_request_inputs)``.

        A timestamp is seconds since the Unix epoch, a boolean 0 or 1, a null NaN.
        """
        table = [[row[position] for position in self._request_inputs] for row in rows]
        shape = (len(rows), len(self._request_inputs))
        return np.array(table, dtype=np.float64).reshape(shape)

    def check_golden_keys(self, golden: Sequence[GoldenKey]) -> None:
        """Check that every golden key serialises to the bytes that Feast gave for it.

        Raises
        ------
        ModelRefusedError
            If one differs, or a view with join keys has none.
        """
        views = {view.name: view for view in self._views}
        for key in golden:
            view = views.get(key.view)
            if view is None or len(key.values) != len(view.keys):
                raise ModelRefusedError(f"Got a golden key that does not fit view {key.view!r}.")
            try:
                serialized = view.prefix + b"".join(
                    encode_key_value(value, part.type)
                    for value, part in zip(key.values, view.keys, strict=True)
                )
            except (ValueError, OverflowError) as error:
                raise ModelRefusedError(
                    f"Got a golden key of view {key.view!r} with a value of another type."
                ) from error
            if serialized.hex() != key.serialized:
                raise ModelRefusedError(
                    f"Got entity key {serialized.hex()} for a golden key of view {key.view!r}, "
                    f"but expected {key.serialized}."
                )
        unproven = {view.name for view in self._views if view.keys} - {key.view for key in golden}
        if unproven:
            raise ModelRefusedError(f"Got no golden key for the views {sorted(unproven)}.")


def _serialize_key(view: CompiledView, row: RequestRow) -> bytes | None:
    parts = [view.prefix]
    for key in view.keys:
        value = row[key.position]
        if value is None:
            return None
        assert isinstance(value, str | int)
        parts.append(encode_key_value(value, key.type))
    return b"".join(parts)


def _fill_online_column(
    matrix: FeatureMatrix,
    view: CompiledView,
    column: OnlineColumn,
    cells: Sequence[StoredValue | None],
    now_us: int,
) -> None:
    oldest_us = None if view.ttl_us is None else now_us - view.ttl_us
    values: list[Value | None] = [None] * len(cells)
    status = np.full(len(cells), FeatureStatus.MISSING, np.uint8)
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        data, event_us = cell
        if event_us > now_us:
            status[row] = FeatureStatus.FUTURE
        elif oldest_us is not None and event_us < oldest_us:
            status[row] = FeatureStatus.STALE
        else:
            try:
                value = decode_value(data, column.type)
            except OnlineValueError as error:
                raise OnlineValueError(f"Feature {view.name}:{column.feature}: {error}") from error
            values[row] = value
            status[row] = FeatureStatus.NULL if value is None else FeatureStatus.PRESENT
    matrix.values[:, column.index] = _to_float32(values, column.codes)
    matrix.status[:, column.index] = status


def _to_float32(
    values: Sequence[Value | None], codes: Mapping[str, int] | None
) -> NDArray[np.float32]:
    """Return one column, float32 ``(n_rows,)``; a null and an unlisted text are NaN."""
    if codes is not None:
        values = [codes.get(value) if isinstance(value, str) else None for value in values]
    # One rounding only: whole numbers go to float32 directly, not by way of float64.
    present = [value for value in values if value is not None]
    whole = all(isinstance(value, int) for value in present)
    column = np.full(len(values), np.nan, np.float32)
    mask = np.fromiter((value is not None for value in values), np.bool_, len(values))
    with np.errstate(over="ignore"):
        column[mask] = np.array(present, np.int64 if whole else np.float64).astype(np.float32)
    return column
