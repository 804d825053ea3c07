"""Checks a feature plan against the request fields and turns its names into positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api.contract.manifest import (
    Column,
    FeaturePlan,
    FieldType,
    JoinKey,
    RequestField,
    ViewPlan,
)
from api.errors import ModelRefusedError
from api.prediction.value_codec import ValueType, encode_key_prefix

__all__ = ["CompiledView", "KeyPart", "OnlineColumn", "PlanCompiler", "RequestColumn"]

_KEY_FIELDS: Final = {
    ValueType.STRING: FieldType.STRING,
    ValueType.BYTES: FieldType.STRING,
    ValueType.INT32: FieldType.INTEGER,
    ValueType.INT64: FieldType.INTEGER,
}


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One join key: the request row's position that carries it, and its type."""

    position: int
    type: ValueType


@dataclass(frozen=True, slots=True)
class OnlineColumn:
    """A column from a view: its place in the matrix, in the view, and how it is coded."""

    index: int
    feature: str
    position: int
    type: ValueType
    codes: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class CompiledView:
    """One feature view, ready to be read."""

    name: str
    table: str
    prefix: bytes
    keys: tuple[KeyPart, ...]
    ttl_us: int | None
    features: tuple[str, ...]
    columns: tuple[OnlineColumn, ...]


@dataclass(frozen=True, slots=True)
class RequestColumn:
    """A column from the request: its place in the matrix and in the row, and its codes."""

    index: int
    position: int
    codes: Mapping[str, int] | None


class PlanCompiler:
    """Compiles the parts of a plan.

    Parameters
    ----------
    request
        The manifest's request fields; a request row has their order.
    plan
        The manifest's feature plan.

    Raises
    ------
    ModelRefusedError
        Here and in every method, if the plan contradicts itself, names something that is
        not declared, or holds a type that the service cannot read (lists, sets, maps).
    """

    def __init__(self, request: Sequence[RequestField], plan: FeaturePlan) -> None:
        self._fields = {field.name: (i, field) for i, field in enumerate(request)}
        self._plan = plan
        _require_unique("request field", [field.name for field in request])
        _require_unique("feature view", [view.name for view in plan.views])
        _require_unique("column", [column.name for column in plan.columns])
        for column in plan.columns:
            _require_one_source(column, plan.views)

    def views(self) -> tuple[CompiledView, ...]:
        """Return the views in the plan's order."""
        return tuple(self._compile_view(view, self._plan.columns) for view in self._plan.views)

    def request_columns(self) -> tuple[RequestColumn, ...]:
        """Return the columns that come from the request."""
        return tuple(
            self._compile_request_column(index, column.field, column)
            for index, column in enumerate(self._plan.columns)
            if column.field is not None
        )

    def request_inputs(self) -> tuple[int, ...]:
        """Return the positions of the graph's ``request`` input in a request row."""
        return tuple(self._compile_request_input(name) for name in self._plan.request_inputs)

    def _compile_view(self, view: ViewPlan, columns: Sequence[Column]) -> CompiledView:
        names = [key.name for key in view.join_keys]
        prefix = bytes.fromhex(view.key_prefix)
        if names != sorted(set(names)):
            raise ModelRefusedError(
                f"Got join keys {names} in view {view.name!r}, but expected them once and sorted."
            )
        if names and prefix != encode_key_prefix(names):
            raise ModelRefusedError(f"Got another key prefix than join keys {names} give.")
        _require_unique(f"feature of view {view.name!r}", [f.name for f in view.features])
        types = {
            feature.name: (position, _value_type(feature.type, f"{view.name}:{feature.name}"))
            for position, feature in enumerate(view.features)
        }
        return CompiledView(
            name=view.name,
            table=view.table,
            prefix=prefix,
            keys=tuple(self._compile_key(key) for key in view.join_keys),
            ttl_us=view.ttl_us,
            features=tuple(types),
            columns=tuple(
                _compile_online_column(index, column, types)
                for index, column in enumerate(columns)
                if column.view == view.name
            ),
        )

    def _compile_key(self, key: JoinKey) -> KeyPart:
        position, field = self._field(key.field, f"join key {key.name!r}")
        kind = ValueType[key.type]
        if field.type is not _KEY_FIELDS[kind]:
            raise ModelRefusedError(
                f"Got request field {field.name!r} of type {field.type} for join key "
                f"{key.name!r}, but expected {_KEY_FIELDS[kind]}."
            )
        return KeyPart(position, kind)

    def _compile_request_column(self, index: int, name: str, column: Column) -> RequestColumn:
        position, field = self._field(name, f"column {column.name!r}")
        if field.type is FieldType.TIMESTAMP:
            raise ModelRefusedError(
                f"Got timestamp {name!r} as a feature, which float32 cannot hold; "
                "expected it among the request inputs."
            )
        codes = _codes(column, is_text=field.type is FieldType.STRING)
        return RequestColumn(index, position, codes)

    def _compile_request_input(self, name: str) -> int:
        position, field = self._field(name, "the request inputs")
        if field.type is FieldType.STRING:
            raise ModelRefusedError(f"Got text field {name!r} among the request inputs.")
        return position

    def _field(self, name: str, user: str) -> tuple[int, RequestField]:
        if name not in self._fields:
            raise ModelRefusedError(f"Got no request field {name!r}, but {user} needs it.")
        return self._fields[name]


def _compile_online_column(
    index: int, column: Column, types: Mapping[str, tuple[int, ValueType]]
) -> OnlineColumn:
    assert column.feature is not None
    if column.feature not in types:
        raise ModelRefusedError(
            f"Got no feature {column.feature!r} in view {column.view!r}, "
            f"but column {column.name!r} needs it."
        )
    position, kind = types[column.feature]
    if kind is ValueType.BYTES:
        raise ModelRefusedError(f"Got bytes for column {column.name!r}, but expected a number.")
    codes = _codes(column, is_text=kind is ValueType.STRING)
    return OnlineColumn(index, column.feature, position, kind, codes)


def _codes(column: Column, *, is_text: bool) -> dict[str, int] | None:
    if is_text != (column.categories is not None):
        raise ModelRefusedError(
            f"Got column {column.name!r} {'without' if is_text else 'with'} categories, "
            f"but expected them for text and for nothing else."
        )
    if column.categories is None:
        return None
    _require_unique(f"category of column {column.name!r}", column.categories)
    return {text: code for code, text in enumerate(column.categories)}


def _value_type(name: str, feature: str) -> ValueType:
    try:
        return ValueType[name]
    except KeyError as error:
        raise ModelRefusedError(
            f"Got feature {feature!r} of type {name}, but expected one of "
            f"{', '.join(ValueType.__members__)}."
        ) from error


def _require_one_source(column: Column, views: Sequence[ViewPlan]) -> None:
    online = column.view is not None and column.feature is not None
    half = (column.view is None) != (column.feature is None)
    if half or online == (column.field is not None):
        raise ModelRefusedError(
            f"Got column {column.name!r} with none or several sources, but expected one."
        )
    if online and column.view not in {view.name for view in views}:
        raise ModelRefusedError(f"Got column {column.name!r} of unknown view {column.view!r}.")


def _require_unique(kind: str, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ModelRefusedError(f"Got {kind} {repeated[0]!r} twice, but expected it once.")
