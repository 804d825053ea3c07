"""Checks a feature plan against the request fields and turns its names into positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from zeroskew.contract.errors.service import ModelRefusedError
from zeroskew.contract.manifest import (
    AS_OF,
    KEY_FIELDS,
    Column,
    FeaturePlan,
    FieldType,
    JoinKey,
    OnlineFeature,
    RequestField,
    RequestInput,
    Scalar,
    ViewPlan,
)
from zeroskew.online.reader import EntityLookup, ReadLayout, StoredView
from zeroskew.online.values.decode import BYTES_TYPES, TEXT_TYPES, ValueType, encode_key_prefix

__all__ = [
    "CompiledFeature",
    "CompiledLookup",
    "CompiledView",
    "KeyPart",
    "PlanCompiler",
    "RequestColumn",
]


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One join key: the request row's position that carries it, and its type."""

    position: int
    type: ValueType


@dataclass(frozen=True, slots=True)
class CompiledFeature:
    """A stored feature: its type, its freshness, and its places in the graph's inputs.

    ``column`` is its place in ``features``, ``request_input`` the one in ``request``.
    """

    name: str
    view: str
    type: ValueType
    default: Scalar | None
    ttl_us: int | None
    when_stale: Literal["null", "reject", "serve"]
    column: int | None
    request_input: int | None
    codes: Mapping[str, int] | None

    @property
    def reference(self) -> str:
        """The feature as Feast refers to it."""
        return f"{self.view}:{self.name}"


@dataclass(frozen=True, slots=True)
class CompiledView:
    """One feature view and the features that the model uses of it."""

    plan: ViewPlan
    features: tuple[CompiledFeature, ...]


@dataclass(frozen=True, slots=True)
class CompiledLookup:
    """The views that are read with one entity key, and how the key is made."""

    prefix: bytes
    keys: tuple[KeyPart, ...]
    views: tuple[CompiledView, ...]


@dataclass(frozen=True, slots=True)
class RequestColumn:
    """A value from the request: its place in an input of the graph and in the row, its codes."""

    name: str
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
        _require_unique("request input", [source.name for source in plan.request_inputs])
        sources: tuple[Column | RequestInput, ...] = (*plan.columns, *plan.request_inputs)
        for source in sources:
            _require_one_source(source, plan.views)
        self._columns = _index_by_feature("column", plan.columns)
        self._inputs = _index_by_feature("request input", plan.request_inputs)
        _require_unique("moment", [AS_OF for source in plan.request_inputs if source.is_moment])

    def lookups(self) -> tuple[CompiledLookup, ...]:
        """Return the views by entity key, in the order of the plan's views."""
        grouped: dict[tuple[bytes, tuple[KeyPart, ...]], list[CompiledView]] = {}
        for view in self._plan.views:
            compiled = self._compile_view(view)
            keys = tuple(self._compile_key(key) for key in view.join_keys)
            views = grouped.setdefault((_check_prefix(view), keys), [])
            if compiled.features:
                views.append(compiled)
        return tuple(
            CompiledLookup(prefix, keys, tuple(views))
            for (prefix, keys), views in grouped.items()
            if views
        )

    def layout(self, lookups: Sequence[CompiledLookup]) -> ReadLayout:
        """Return what is read for `lookups`."""
        return ReadLayout(
            project=self._plan.project,
            lookups=tuple(
                EntityLookup(tuple(_stored_view(view) for view in lookup.views))
                for lookup in lookups
            ),
        )

    def request_columns(self) -> tuple[RequestColumn, ...]:
        """Return the columns of ``features`` that come from the request."""
        return tuple(
            self._compile_request_column(index, column.field, column)
            for index, column in enumerate(self._plan.columns)
            if column.field is not None
        )

    def request_inputs(self) -> tuple[RequestColumn, ...]:
        """Return the columns of ``request`` that come from the request."""
        return tuple(
            self._compile_request_input(index, source.field)
            for index, source in enumerate(self._plan.request_inputs)
            if source.field is not None
        )

    def moment_input(self) -> RequestColumn | None:
        """Return the column of ``request`` that is the moment of the prediction.

        It is taken from behind the last field of a row.
        """
        for index, source in enumerate(self._plan.request_inputs):
            if source.is_moment:
                return RequestColumn(source.name, index, len(self._fields), None)
        return None

    def _compile_view(self, view: ViewPlan) -> CompiledView:
        if not view.table.startswith(f"{self._plan.project}_"):
            raise ModelRefusedError(
                f"Got view {view.name!r} in table {view.table!r}, but expected one of project "
                f"{self._plan.project!r}."
            )
        names = [feature.name for feature in view.features]
        _require_unique(f"feature of view {view.name!r}", names)
        _check_windows(view)
        for kind, used in (("column", self._columns), ("request input", self._inputs)):
            unknown = sorted({name for owner, name in used if owner == view.name} - set(names))
            if unknown:
                raise ModelRefusedError(
                    f"Got no feature {unknown[0]!r} in view {view.name!r}, but a {kind} needs it."
                )
        compiled = [self._compile_feature(view, feature) for feature in view.features]
        used_features = [
            feature
            for feature in compiled
            if feature.column is not None or feature.request_input is not None
        ]
        return CompiledView(view, tuple(used_features))

    def _compile_feature(self, view: ViewPlan, feature: OnlineFeature) -> CompiledFeature:
        reference = f"{view.name}:{feature.name}"
        kind = _value_type(feature.type, reference)
        index = self._columns.get((view.name, feature.name))
        request_input = self._inputs.get((view.name, feature.name))
        column = None if index is None else self._plan.columns[index]
        if column is not None and kind is ValueType.UNIX_TIMESTAMP:
            raise ModelRefusedError(
                f"Got timestamp {reference!r} as a feature, which float32 cannot hold; "
                "expected it among the request inputs."
            )
        if kind in BYTES_TYPES and (column is not None or request_input is not None):
            raise ModelRefusedError(f"Got bytes for {reference!r}, but expected a number.")
        if kind in TEXT_TYPES and request_input is not None:
            raise ModelRefusedError(f"Got text {reference!r} among the request inputs.")
        codes = None if column is None else _codes(column, is_text=kind in TEXT_TYPES)
        return CompiledFeature(
            name=feature.name,
            view=view.name,
            type=kind,
            default=_check_default(feature, kind, reference),
            ttl_us=view.ttl_us,
            when_stale=view.when_stale,
            column=index,
            request_input=request_input,
            codes=codes,
        )

    def _compile_key(self, key: JoinKey) -> KeyPart:
        position, field = self._field(key.field, f"join key {key.name!r}")
        kind = ValueType[key.type]
        if field.type is not KEY_FIELDS[kind.name]:
            raise ModelRefusedError(
                f"Got request field {field.name!r} of type {field.type} for join key "
                f"{key.name!r}, but expected {KEY_FIELDS[kind.name]}."
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
        return RequestColumn(name, index, position, codes)

    def _compile_request_input(self, index: int, name: str) -> RequestColumn:
        position, field = self._field(name, "the request inputs")
        if field.type is FieldType.STRING:
            raise ModelRefusedError(f"Got text field {name!r} among the request inputs.")
        return RequestColumn(name, index, position, None)

    def _field(self, name: str, user: str) -> tuple[int, RequestField]:
        if name not in self._fields:
            raise ModelRefusedError(f"Got no request field {name!r}, but {user} needs it.")
        return self._fields[name]


def _stored_view(view: CompiledView) -> StoredView:
    return StoredView(
        name=view.plan.name,
        table=view.plan.table,
        features=tuple(feature.name for feature in view.features),
        windows=view.plan.windows,
    )


def _check_windows(view: ViewPlan) -> None:
    if view.windows is None:
        return
    known = {feature.name: feature.type for feature in view.windows.features}
    for feature in view.features:
        if known.get(feature.name) != feature.type:
            raise ModelRefusedError(
                f"Got feature {view.name}:{feature.name} of type {feature.type}, but expected what "
                f"the view's windows give: {known.get(feature.name, 'nothing')}."
            )


def _check_prefix(view: ViewPlan) -> bytes:
    names = [key.name for key in view.join_keys]
    prefix = bytes.fromhex(view.key_prefix)
    if names != sorted(set(names)):
        raise ModelRefusedError(
            f"Got join keys {names} in view {view.name!r}, but expected them once and sorted."
        )
    if names and prefix != encode_key_prefix(names):
        raise ModelRefusedError(f"Got another key prefix than join keys {names} give.")
    return prefix


def _check_default(feature: OnlineFeature, kind: ValueType, reference: str) -> Scalar | None:
    expected: tuple[type, ...] = (int,)
    if kind in TEXT_TYPES:
        expected = (str,)
    elif kind is ValueType.BOOL:
        expected = (bool,)
    elif kind in (ValueType.FLOAT, ValueType.DOUBLE):
        expected = (int, float)
    if feature.default is None or type(feature.default) in expected:
        return feature.default
    raise ModelRefusedError(
        f"Got default {feature.default!r} for feature {reference!r} of type {kind.name}."
    )


def _index_by_feature(
    kind: str, sources: Sequence[Column | RequestInput]
) -> dict[tuple[str, str], int]:
    """Return the places of the stored features among `sources`, by view and feature."""
    places: dict[tuple[str, str], int] = {}
    for index, source in enumerate(sources):
        if source.view is None or source.feature is None:
            continue
        if (source.view, source.feature) in places:
            raise ModelRefusedError(
                f"Got feature {source.view}:{source.feature} as {kind} twice, but expected it once."
            )
        places[source.view, source.feature] = index
    return places


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


def _require_one_source(column: Column | RequestInput, views: Sequence[ViewPlan]) -> None:
    online = column.view is not None and column.feature is not None
    half = (column.view is None) != (column.feature is None)
    is_moment = isinstance(column, RequestInput) and column.is_moment
    if half or [online, column.field is not None, is_moment].count(True) != 1:
        raise ModelRefusedError(
            f"Got {column.name!r} with none or several sources, but expected one."
        )
    if online and column.view not in {view.name for view in views}:
        raise ModelRefusedError(f"Got {column.name!r} of unknown view {column.view!r}.")


def _require_unique(kind: str, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ModelRefusedError(f"Got {kind} {repeated[0]!r} twice, but expected it once.")
