"""Compile a Feast feature service into the plan by which the service reads the online store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zeroskew.contract.errors.project import PlanError
from zeroskew.contract.errors.sentences import join_names
from zeroskew.contract.manifest import (
    AS_OF,
    KEY_FIELDS,
    Column,
    FeaturePlan,
    FieldType,
    GoldenKey,
    JoinKey,
    OnlineFeature,
    RequestField,
    RequestInput,
    ViewPlan,
)
from zeroskew.declarations.model_spec import ModelSpec
from zeroskew.features.plans.serving_policies import apply_policies, require_known
from zeroskew.features.stored_views import plan_stored_view

if TYPE_CHECKING:
    from zeroskew.features.request_function import RequestFunction

__all__ = [
    "COLUMN_TYPES",
    "INPUT_TYPES",
    "PlanDraft",
    "check_feature_type",
    "check_is_served",
    "check_join_key",
    "compile_plan",
    "compile_request_function",
    "make_golden_keys",
]

NUMERIC_TYPES = ("FLOAT", "DOUBLE", "INT32", "INT64", "BOOL")
COLUMN_TYPES = (*NUMERIC_TYPES, "STRING")
INPUT_TYPES = (*NUMERIC_TYPES, "UNIX_TIMESTAMP")


@dataclass(frozen=True)
class PlanDraft:
    """A plan without categories, and the functions the exporter traces into the graph."""

    plan: FeaturePlan
    request_functions: tuple[RequestFunction, ...]

    @property
    def request_only_features(self) -> tuple[str, ...]:
        """The ``plan.request_features`` that need nothing from the online store."""
        return tuple(
            name
            for function in self.request_functions
            if not function.stored_inputs
            for name in request_feature_names(function)
        )

    @property
    def request_feature_references(self) -> tuple[str, ...]:
        """``view:feature`` of each of ``plan.request_features``."""
        return tuple(
            f"{function.name}:{output}"
            for function in self.request_functions
            for output in function.output_names
        )


def compile_plan(store: Any, spec: ModelSpec) -> PlanDraft:
    """Compile ``spec.feature_service`` as applied to the Feast registry of ``store``.

    Columns stand in the feature service's order, then ``spec.columns``; the features that the
    graph computes come last. What only request-time functions read is in a view's features and
    in no column.

    Raises
    ------
    PlanError
        If the service is not in the registry, a join key is no request field of a fitting
        type, a feature has a type that cannot be read, a view is not online, a request-time
        function asks for something that the plan cannot give it, two columns have one name, or
        a policy or default of the model names no view or feature or does not fit its type.
    """
    from feast.on_demand_feature_view import OnDemandFeatureView

    service = _get_feature_service(store, spec)
    fields = {field.name: field for field in spec.request}
    views: dict[str, ViewPlan] = {}
    projections: dict[str, Any] = {}
    functions: list[RequestFunction] = []
    sources: list[tuple[RequestFunction, Any]] = []
    for projection in service.feature_view_projections:
        view = store.registry.get_any_feature_view(projection.name, store.project)
        if isinstance(view, OnDemandFeatureView):
            function = compile_request_function(view, projection, fields)
            functions.append(function)
            sources += [(function, one) for one in view.source_feature_view_projections.values()]
        else:
            compiled = _compile_view(store, view, projection, fields, COLUMN_TYPES)
            views[compiled.name] = compiled
            projections[compiled.name] = projection
    columns = _columns(views.values(), spec)
    for function, source in sources:
        _check_keys_agree(function, source, projections)
        view = store.registry.get_any_feature_view(source.name, store.project)
        compiled = _compile_view(store, view, source, fields, INPUT_TYPES)
        views[source.name] = _merge_features(views.get(source.name, compiled), compiled)
    plan = FeaturePlan(
        project=store.project,
        feature_service=spec.feature_service,
        views=apply_policies(tuple(views.values()), spec),
        columns=columns,
        request_inputs=_request_inputs(functions),
        request_features=tuple(name for f in functions for name in request_feature_names(f)),
        when_store_down=spec.when_store_down,
    )
    complete = PlanDraft(plan=plan, request_functions=tuple(functions))
    _check_column_names(plan, spec)
    _check_may_be_empty(complete, spec)
    return complete


def request_feature_names(function: RequestFunction) -> tuple[str, ...]:
    """Return the column names of a request-time function's features, as Feast names them."""
    return tuple(f"{function.name}__{output}" for output in function.output_names)


def make_golden_keys(
    plan: FeaturePlan, instances: Sequence[dict[str, Any]]
) -> tuple[GoldenKey, ...]:
    """Serialise the entity keys of ``instances`` with Feast itself, view by view.

    The service serialises them again at load: a layout that Feast has changed, or that the
    service reads differently, is found before the first request.
    """
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    golden = {}
    for view in plan.views:
        for instance in instances:
            values = tuple(instance[key.field] for key in view.join_keys)
            if any(value is None for value in values):
                continue
            entity_values = [
                Value(**{f"{key.type.lower()}_val": _as_key_value(key.type, value)})  # type: ignore[arg-type]
                for key, value in zip(view.join_keys, values, strict=True)
            ]
            serialized = serialize_entity_key(
                EntityKey(
                    join_keys=[key.name for key in view.join_keys], entity_values=entity_values
                ),
                entity_key_serialization_version=3,
            ).hex()
            golden[view.name, values] = GoldenKey(
                view=view.name, values=values, serialized=serialized
            )
    return tuple(golden.values())


def _as_key_value(key_type: str, value: str | int) -> str | int | bytes:
    return value.encode() if key_type == "BYTES" and isinstance(value, str) else value


def _get_feature_service(store: Any, spec: ModelSpec) -> Any:
    from feast.errors import FeastObjectNotFoundException

    try:
        return store.get_feature_service(spec.feature_service)
    except FeastObjectNotFoundException as error:
        raise PlanError(
            f"Got feature service {spec.feature_service!r}, but expected one of "
            f"{sorted(known.name for known in store.list_feature_services())}; "
            "run `zeroskew apply` after a change to the feature repo"
        ) from error


def _columns(views: Iterable[ViewPlan], spec: ModelSpec) -> tuple[Column, ...]:
    stored = [
        Column(name=f"{view.name}__{feature.name}", view=view.name, feature=feature.name)
        for view in views
        for feature in view.features
    ]
    return (*stored, *(Column(name=name, field=name) for name in spec.columns))


def _check_column_names(plan: FeaturePlan, spec: ModelSpec) -> None:
    """Every column has its own name, and no request field that of a feature's column."""
    names = [
        *(f"{view.name}__{feature.name}" for view in plan.views for feature in view.features),
        *plan.request_features,
    ]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise PlanError(
            f"Got two features whose column would be {repeated[0]!r}, but expected distinct names "
            "of view and feature together; rename one"
        )
    # An answer tells features by their reference, and overrides are given by it.
    references = [f"{view.name}:{one.name}" for view in plan.views for one in view.features]
    if taken := sorted({field.name for field in spec.request} & {*names, *references}):
        raise PlanError(
            f"Got request field {taken[0]!r}, which is the name of a feature or its column, but "
            "expected another; rename the field"
        )


def _check_may_be_empty(compiled: PlanDraft, spec: ModelSpec) -> None:
    plan = compiled.plan
    sources: tuple[Column | RequestInput, ...] = (*plan.columns, *plan.request_inputs)
    require_known(
        "may_be_empty",
        spec.may_be_empty,
        [
            *(f"{view}:{feature}" for view, feature in plan.list_stored_features()),
            *compiled.request_feature_references,
            *(one.field for one in sources if one.field),
        ],
    )


def _request_inputs(functions: Sequence[RequestFunction]) -> tuple[RequestInput, ...]:
    """Return each argument once; functions that share a name must mean the same by it."""
    inputs: dict[str, RequestInput] = {}
    for function in functions:
        wanted = [
            RequestInput(name=AS_OF, is_moment=True)
            if name == AS_OF
            else RequestInput(name=name, field=name)
            for name in function.request_names
        ]
        wanted += [
            RequestInput(name=one.feature, view=one.view, feature=one.feature)
            for one in function.stored_inputs
        ]
        for one in wanted:
            if inputs.setdefault(one.name, one) != one:
                raise PlanError(
                    f"Got input {one.name!r} of on-demand view {function.name!r} that is another "
                    "one elsewhere in the service, but expected one meaning of each name"
                )
    return tuple(inputs.values())


def _compile_view(
    store: Any,
    view: Any,
    projection: Any,
    fields: dict[str, RequestField],
    types: Sequence[str],
) -> ViewPlan:
    plan = plan_stored_view(store, view, projection)
    check_is_served(view)
    for key in plan.join_keys:
        check_join_key(plan.name, key, fields)
    for feature in plan.features:
        check_feature_type(plan.name, feature, types)
    return plan


def _check_keys_agree(
    function: RequestFunction, source: Any, projections: Mapping[str, Any]
) -> None:
    """Feast reads the view once for both, with the keys of whichever it meets first."""
    in_service = projections.get(source.name)
    if in_service is not None and in_service.join_key_map:
        raise PlanError(
            f"Got view {source.name!r} with join keys mapped to "
            f"{sorted(in_service.join_key_map.values())} in the service and unmapped in on-demand "
            f"view {function.name!r}, but expected the same keys; give the mapped one a name of "
            "its own (with_name)"
        )


def _merge_features(view: ViewPlan, other: ViewPlan) -> ViewPlan:
    known = {feature.name for feature in view.features}
    more = tuple(feature for feature in other.features if feature.name not in known)
    return view.model_copy(update={"features": (*view.features, *more)})


def check_is_served(view: Any) -> None:
    """Raise `PlanError` where nothing of a view is ever online."""
    if not view.online:
        raise PlanError(
            f"Got view {view.name!r} with online=False, but expected one that can be served: its "
            "values would be null in every answer. Set online=True and apply, or leave it out of "
            "the feature service"
        )


def check_join_key(view: str, key: JoinKey, fields: dict[str, RequestField]) -> None:
    """Raise `PlanError` unless a request field carries the key."""
    field = fields.get(key.field)
    if field is None:
        raise PlanError(
            f"Got view {view!r} with join key {key.field!r}, but expected a request field of "
            f"that name; there are {join_names(fields)}"
        )
    if field.type is not KEY_FIELDS[key.type]:
        raise PlanError(
            f"Got request field {key.field!r} of type {field.type}, but expected "
            f"{KEY_FIELDS[key.type]}: view {view!r} has it as a join key of type {key.type}"
        )


def check_feature_type(view: str, feature: OnlineFeature, types: Sequence[str]) -> None:
    """Raise `PlanError` unless a feature's type is one of ``types``."""
    if feature.type not in types:
        what = "a model column" if types is COLUMN_TYPES else "an input of a function"
        raise PlanError(
            f"Got feature {view}:{feature.name} of type {feature.type}, but expected one of "
            f"{', '.join(types)}: nothing else becomes {what}"
        )


def compile_request_function(
    view: Any, projection: Any, fields: dict[str, RequestField]
) -> RequestFunction:
    """Return the function of an on-demand view, its outputs those of the projection.

    Raises
    ------
    PlanError, RequestFunctionError
        If it was made in another way, or asks for what no request field gives.
    """
    from zeroskew.features.request_time import request_function_of

    function = request_function_of(view).select([feature.name for feature in projection.features])
    if projection.name_alias:
        raise PlanError(
            f"Got on-demand view {view.name!r} under the name {projection.name_alias!r}, but "
            "expected its own: Feast computes no aliased one for training"
        )
    given = set(function.request_names) - {AS_OF}
    missing = sorted(given - set(fields))
    if missing:
        raise PlanError(
            f"Got on-demand view {view.name!r} with inputs {missing}, but expected request "
            f"fields; the model declares {sorted(fields)}"
        )
    text = sorted(name for name in given if fields[name].type is FieldType.STRING)
    if text:
        raise PlanError(
            f"Got text inputs {text} of on-demand view {view.name!r}, but expected numbers, "
            "booleans or timestamps"
        )
    return function
