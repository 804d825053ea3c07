"""From request rows and stored cells to the matrices that the graph takes. All of it is pure.

A request row is a tuple with one value for each of the manifest's request fields, in their
order; a timestamp is seconds since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zeroskew.contract.errors.service import StaleFeatureError
from zeroskew.contract.feature_status import FeatureStatus
from zeroskew.contract.manifest import FeaturePlan, GoldenKey, RequestField, Scalar
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.model.plan.cell_decoder import CellColumn, CellDecoder, as_places
from zeroskew.model.plan.entity_keys import EntityKeySerializer
from zeroskew.model.plan.feature_matrix import FeatureMatrix, FeatureOrigins
from zeroskew.model.plan.golden_keys import check_golden_keys
from zeroskew.model.plan.plan_compiler import (
    CompiledFeature,
    CompiledLookup,
    PlanCompiler,
    RequestColumn,
)
from zeroskew.model.plan.row_assembler import RowAssembler, ViewRule
from zeroskew.model.requests.instances import Overrides, RequestRow
from zeroskew.online.reader import ReadLayout, StoredFeatures
from zeroskew.online.values.decode import Value, ValueType
from zeroskew.online.windows.windowed_layout import WindowedLayout

__all__ = ["ReadPlan"]

_US: Final = 1_000_000
_FOREVER_US: Final = 2**62


class ReadPlan:
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
        self.when_store_down = plan.when_store_down
        self._lookups = compiler.lookups()
        self._key_serializers = [EntityKeySerializer(lookup) for lookup in self._lookups]
        self.layout: ReadLayout = compiler.layout(self._lookups)
        """What is read for each row."""
        self._windowed = WindowedLayout.of(self.layout)
        if self._windowed is not None:
            self.layout = self._windowed.stored
        self.features: tuple[CompiledFeature, ...] = tuple(
            feature
            for lookup in self._lookups
            for view in lookup.views
            for feature in view.features
        )
        """The stored features that the model uses."""
        places = {feature.reference: place for place, feature in enumerate(self.features)}
        self.logged_order = np.array(
            [places[f"{view}:{feature}"] for view, feature in plan.list_stored_features()], np.intp
        )
        """Where each of the manifest's stored features stands in `features`."""
        self.request_columns: tuple[RequestColumn, ...] = compiler.request_columns()
        """The columns of the graph's ``features`` that come from the request."""
        self.request_inputs: tuple[RequestColumn, ...] = compiler.request_inputs()
        """The columns of the graph's ``request`` that come from the request."""
        self._moment = compiler.moment_input()
        self.n_columns = len(plan.columns)
        """The width of the graph's ``features``."""
        self.n_request_inputs = len(plan.request_inputs)
        """The width of the graph's ``request``; 0 where the graph has no such input."""
        self._places = _place_features(self._lookups)
        self._decoder = CellDecoder([place.cell for place in self._places])
        self._index_places()
        self._index_freshness()
        self._row_assembler = self._make_row_assembler()

    def serialize_keys(self, rows: Sequence[RequestRow]) -> list[list[bytes | None]]:
        """Return for each of the layout's lookups the serialised entity key of each row.

        A row with a null among the join keys has the key ``None``: null matches nothing, as
        in training.
        """
        if len(rows) == 1:
            row = rows[0]
            return [[serializer.serialize_row(row)] for serializer in self._key_serializers]
        return [serializer.serialize(rows) for serializer in self._key_serializers]

    def at(self, stored: StoredFeatures, now_us: int) -> StoredFeatures:
        """Return what a reader gave for `layout` as it is at a moment: a cell for each feature.

        Its cells are in the order of `features`.

        Raises
        ------
        OnlineValueError
            If the state of a windowed view is damaged, or of other windows.
        """
        return stored if self._windowed is None else self._windowed.at(stored, now_us)

    def assemble(
        self,
        rows: Sequence[RequestRow],
        stored: StoredFeatures,
        now_us: int,
        overrides: Overrides = (),
    ) -> FeatureMatrix:
        """Put stored values, request values and overrides into the graph's inputs.

        A stored value with event time ``e`` is live at ``t = now_us`` when
        ``t - ttl_us <= e <= t``, both bounds included. Text that is not among a column's
        categories is NaN, and so is everything that is not live, unless its view says
        ``serve``; a number beyond float32 becomes an infinity, as in training.

        Parameters
        ----------
        rows
            ``n_rows`` request rows.
        stored
            The reader's answer to `layout` and `serialize_keys`, as `at` gives it.
        now_us
            The time of the prediction in microseconds since the Unix epoch.
        overrides
            Values that stand for stored ones, by row and by the feature's reference.

        Raises
        ------
        OnlineValueError
            If a stored value is not of the type that the plan says; it names the feature.
        StaleFeatureError
            If a value is not live and its view says ``reject``.
        """
        rows = self._with_moment(rows, now_us)
        if stored.rows is not None and not overrides:
            matrix = self._row_assembler.assemble(rows, stored.rows, now_us)
            if matrix is not None:
                return matrix
        return self._assemble_many(rows, stored, now_us, overrides)

    def _assemble_many(
        self,
        rows: Sequence[RequestRow],
        stored: StoredFeatures,
        now_us: int,
        overrides: Overrides,
    ) -> FeatureMatrix:
        numbers, is_null = self._decoder.decode(stored)
        event_us = stored.event_us
        status = np.zeros(event_us.shape, np.uint8)
        if is_null is not None:
            status[:, self._feature_of_place] |= is_null.view(np.uint8)
        live = (event_us >= now_us - self._ttl_us) & (event_us <= now_us)
        if not live.all():
            status[~live] = FeatureStatus.STALE
            status[event_us > now_us] = FeatureStatus.FUTURE
            status[event_us == NEVER_US] = FeatureStatus.MISSING
            numbers[~(live | self._is_served)[:, self._feature_of_place]] = np.nan
        self._override(numbers, status, overrides)
        self._refuse_stale(status, event_us, now_us)
        return self._fill(rows, numbers, status, event_us)

    def _with_moment(self, rows: Sequence[RequestRow], now_us: int) -> Sequence[RequestRow]:
        """Put the moment of the prediction behind the fields of each row, if the graph takes it."""
        if self._moment is None:
            return rows
        return [(*row, now_us / _US) for row in rows]

    def assemble_defaults(
        self, rows: Sequence[RequestRow], now_us: int, overrides: Overrides = ()
    ) -> FeatureMatrix:
        """Return the graph's inputs when the online store cannot be read.

        Every stored feature has the plan's default, which is NaN where it gives none.
        """
        rows = self._with_moment(rows, now_us)
        shape = (len(rows), len(self.features))
        numbers = np.array(
            [[_number(place, self.features[place.feature].default) for place in self._places]]
        )
        numbers = np.repeat(numbers.reshape(1, len(self._places)), len(rows), axis=0)
        status = np.full(shape, FeatureStatus.DEFAULT, np.uint8)
        self._override(numbers, status, overrides)
        return self._fill(rows, numbers, status, np.full(shape, NEVER_US))

    def stored_value(self, feature: int, cell: bytes | None) -> Value | None:
        """Return the value of a cell of ``features[feature]``; ``None`` is a null."""
        return self._cell_columns[feature].value(cell)

    def check_golden_keys(self, golden: Sequence[GoldenKey]) -> None:
        """Check that every golden key serialises to the bytes that Feast gave for it.

        Raises
        ------
        ModelRefusedError
            If one differs, or a view with join keys has none.
        """
        check_golden_keys(self._lookups, golden)

    def _index_places(self) -> None:
        places = list(enumerate(self._places))
        columns = [(i, place.column) for i, place in places if place.column is not None]
        inputs = [
            (i, place.request_input) for i, place in places if place.request_input is not None
        ]
        self._feature_of_place = np.array([place.feature for place in self._places], np.intp)
        self._column_places = as_places([i for i, _ in columns])
        self._columns = as_places([column for _, column in columns])
        self._input_places = as_places([i for i, _ in inputs])
        self._inputs = as_places([column for _, column in inputs])
        self._cell_columns = {place.feature: place.cell for _, place in places}
        self._places_by_reference: dict[str, list[int]] = {}
        for i, place in places:
            reference = self.features[place.feature].reference
            self._places_by_reference.setdefault(reference, []).append(i)

    def _given_inputs(self) -> tuple[RequestColumn, ...]:
        """Return the columns of ``request`` that stand in a row, its moment included."""
        return self.request_inputs if self._moment is None else (*self.request_inputs, self._moment)

    def _index_freshness(self) -> None:
        ttls = [_ttl_us(feature) for feature in self.features]
        policies = [feature.when_stale for feature in self.features]
        self._ttl_us = np.array(ttls, np.int64)
        self._is_served = np.array([policy == "serve" for policy in policies], np.bool_)
        self._rejects = np.array([policy == "reject" for policy in policies], np.bool_)
        self._may_reject = "reject" in policies

    def _make_row_assembler(self) -> RowAssembler:
        n_cells = len(self._places)
        request = [
            *((c, True) for c in self.request_columns),
            *((c, False) for c in self._given_inputs()),
        ]
        features = {place.column: i for i, place in enumerate(self._places)}
        inputs = {place.request_input: i for i, place in enumerate(self._places)}
        for i, (column, is_feature) in enumerate(request, start=n_cells):
            (features if is_feature else inputs)[column.index] = i
        return RowAssembler(
            lookups=[
                [_rule_of(view.features) for view in lookup.views] for lookup in self._lookups
            ],
            cells=[place.cell for place in self._places],
            request=request,
            features=[features[column] for column in range(self.n_columns)],
            inputs=[inputs[column] for column in range(self.n_request_inputs)],
        )

    def _override(
        self, numbers: NDArray[np.float64], status: NDArray[np.uint8], overrides: Overrides
    ) -> None:
        for row, values in enumerate(overrides):
            for reference, value in values.items():
                for index in self._places_by_reference[reference]:
                    place = self._places[index]
                    numbers[row, index] = _number(place, value)
                    status[row, place.feature] = FeatureStatus.OVERRIDE

    def _refuse_stale(
        self, status: NDArray[np.uint8], event_us: NDArray[np.int64], now_us: int
    ) -> None:
        if not self._may_reject:
            return
        not_live = (status == FeatureStatus.STALE) | (status == FeatureStatus.FUTURE)
        refused = np.argwhere(not_live & self._rejects)
        if len(refused):
            row, index = (int(number) for number in refused[0])
            feature = self.features[index]
            raise StaleFeatureError(
                instance=row,
                feature=feature.reference,
                age_seconds=(now_us - int(event_us[row, index])) / _US,
                ttl_seconds=None if feature.ttl_us is None else feature.ttl_us / _US,
            )

    def _fill(
        self,
        rows: Sequence[RequestRow],
        numbers: NDArray[np.float64],
        status: NDArray[np.uint8],
        event_us: NDArray[np.int64],
    ) -> FeatureMatrix:
        values = np.empty((len(rows), self.n_columns), np.float32)
        request = np.empty((len(rows), self.n_request_inputs))
        with np.errstate(over="ignore"):
            values[:, self._columns] = numbers[:, self._column_places]
            for column in self.request_columns:
                values[:, column.index] = _request_values(rows, column, narrow=True)
        if self.n_request_inputs:
            request[:, self._inputs] = numbers[:, self._input_places]
        for column in self._given_inputs():
            request[:, column.index] = _request_values(rows, column, narrow=False)
        return FeatureMatrix(values, request, FeatureOrigins(status, event_us))


def _ttl_us(feature: CompiledFeature) -> int:
    # The oldest event time must stay above NEVER_US, which no value is live at.
    return _FOREVER_US if feature.ttl_us is None else min(feature.ttl_us, _FOREVER_US)


def _rule_of(features: Sequence[CompiledFeature]) -> ViewRule:
    return ViewRule(len(features), _ttl_us(features[0]), features[0].when_stale)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one decoded number goes: a column, an input of the request functions, or both."""

    feature: int
    cell: CellColumn
    column: int | None
    request_input: int | None


def _place_features(lookups: Sequence[CompiledLookup]) -> list[_Place]:
    """Return where each feature's numbers go.

    A whole number is rounded once, to float32 for a column and to float64 for an input, so
    a feature that is both is decoded twice.
    """
    places = []
    found = [
        (number, position, feature)
        for number, lookup in enumerate(lookups)
        for position, feature in enumerate(f for view in lookup.views for f in view.features)
    ]
    for index, (lookup, position, feature) in enumerate(found):
        is_whole = feature.type in (ValueType.INT32, ValueType.INT64, ValueType.UNIX_TIMESTAMP)
        both = feature.column is not None and feature.request_input is not None
        targets = [(feature.column, feature.request_input)]
        if is_whole and both:
            targets = [(feature.column, None), (None, feature.request_input)]
        for column, request_input in targets:
            narrow = is_whole and column is not None
            cell = CellColumn(
                lookup, position, feature.reference, feature.type, feature.codes, narrow=narrow
            )
            places.append(_Place(index, cell, column, request_input))
    # In the order of the columns, so that copying them into the matrix is one move.
    return sorted(places, key=lambda place: (place.column is None, place.column))


def _number(place: _Place, value: Scalar | None) -> float:
    """Return the number that `value` would have been read as, had it been stored."""
    number = place.cell.number_of(value)
    is_float32 = place.cell.kind is ValueType.FLOAT
    return float(np.float32(number)) if is_float32 else number


def _request_values(
    rows: Sequence[RequestRow], column: RequestColumn, *, narrow: bool
) -> list[float] | NDArray[np.float32]:
    """Return a request field's numbers; a null and an unlisted text are NaN."""
    values = [row[column.position] for row in rows]
    if column.codes is not None:
        return [column.codes.get(str(value), np.nan) for value in values]
    numbers = [np.nan if value is None else value for value in values]
    if narrow and any(isinstance(value, int) for value in values):
        # One rounding only: whole numbers go to float32 directly, not by way of float64.
        return np.array(
            [np.int64(n).astype(np.float32) if isinstance(n, int) else n for n in numbers],
            np.float32,
        )
    return numbers  # type: ignore[return-value]  # text has codes
