"""Compile a Feast feature service into the plan by which the service reads the online store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from api.contract.manifest import (
    Column,
    FeaturePlan,
    FieldType,
    GoldenKey,
    JoinKey,
    OnlineFeature,
    RequestField,
    ViewPlan,
)
from training.errors import PlanError
from training.model_spec import ModelSpec

if TYPE_CHECKING:
    from training.request_time import RequestFunction

__all__ = ["CompiledPlan", "compile_plan", "make_golden_keys"]

KEY_TYPES = ("STRING", "INT64", "INT32", "BYTES")
KEY_FIELDS = {
    "STRING": FieldType.STRING,
    "BYTES": FieldType.STRING,
    "INT64": FieldType.INTEGER,
    "INT32": FieldType.INTEGER,
}
NUMERIC_TYPES = ("FLOAT", "DOUBLE", "INT32", "INT64", "BOOL")


@dataclass(frozen=True)
class CompiledPlan:
    """A plan without categories, and the functions the exporter traces into the graph."""

    plan: FeaturePlan
    request_functions: tuple[RequestFunction, ...]

    def with_categories(self, categories: dict[str, tuple[str, ...]]) -> FeaturePlan:
        """Return the plan with ``categories[column]`` set on the text columns."""
        columns = tuple(
            column.model_copy(update={"categories": categories.get(column.name)})
            for column in self.plan.columns
        )
        return self.plan.model_copy(update={"columns": columns})


def compile_plan(store: Any, spec: ModelSpec) -> CompiledPlan:
    """Compile ``spec.feature_service`` as applied to the Feast registry of ``store``.

    Columns stand in the feature service's order, then ``spec.columns``; the features that the
    graph computes from the request come last.

    Raises
    ------
    PlanError
        If the service is not in the registry, a join key is no request field of a fitting
        type, or a feature has a type that no float32 column can hold.
    """
    from feast.errors import FeastObjectNotFoundException
    from feast.on_demand_feature_view import OnDemandFeatureView

    try:
        service = store.get_feature_service(spec.feature_service)
    except FeastObjectNotFoundException as error:
        raise PlanError(
            f"Got feature service {spec.feature_service!r}, but expected one of "
            f"{sorted(known.name for known in store.list_feature_services())}; "
            "run `zeroskew apply` after a change to the feature repo"
        ) from error

    fields = {field.name: field for field in spec.request}
    views: list[ViewPlan] = []
    columns: list[Column] = []
    functions: list[RequestFunction] = []
    for projection in service.feature_view_projections:
        view = store.registry.get_any_feature_view(projection.name, store.project)
        if isinstance(view, OnDemandFeatureView):
            functions.append(_compile_request_function(view, projection, fields))
        else:
            compiled = _compile_view(store, view, projection, fields)
            views.append(compiled)
            columns += [
                Column(
                    name=f"{compiled.name}__{feature.name}",
                    view=compiled.name,
                    feature=feature.name,
                )
                for feature in compiled.features
            ]
    columns += [Column(name=name, field=name) for name in spec.columns]
    request_inputs = tuple(dict.fromkeys(name for f in functions for name in f.input_names))
    plan = FeaturePlan(
        project=store.project,
        feature_service=spec.feature_service,
        views=tuple(views),
        columns=tuple(columns),
        request_inputs=request_inputs,
        request_features=tuple(name for f in functions for name in request_feature_names(f)),
    )
    return CompiledPlan(plan=plan, request_functions=tuple(functions))


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


def _compile_view(
    store: Any, view: Any, projection: Any, fields: dict[str, RequestField]
) -> ViewPlan:
    from feast.infra.key_encoding_utils import serialize_entity_key_prefix
    from feast.infra.online_stores.helpers import compute_table_id

    name = projection.name_to_use()
    join_keys = sorted(
        (_compile_join_key(name, column, projection, fields) for column in view.entity_columns),
        key=lambda key: key.name,
    )
    versioning = store.config.registry.enable_online_feature_view_versioning
    return ViewPlan(
        name=name,
        table=compute_table_id(store.project, view, versioning),
        join_keys=tuple(join_keys),
        key_prefix=serialize_entity_key_prefix([key.name for key in join_keys], 3).hex(),
        ttl_us=(view.ttl // timedelta(microseconds=1)) if view.ttl else None,
        features=tuple(_compile_feature(name, feature) for feature in projection.features),
    )


def _compile_join_key(
    view: str, column: Any, projection: Any, fields: dict[str, RequestField]
) -> JoinKey:
    field_name = (projection.join_key_map or {}).get(column.name, column.name)
    key_type = column.dtype.to_value_type().name
    if key_type not in KEY_TYPES:
        raise PlanError(
            f"Got join key {column.name!r} of type {key_type} in view {view!r}, "
            f"but expected one of {', '.join(KEY_TYPES)}"
        )
    field = fields.get(field_name)
    if field is None:
        raise PlanError(
            f"Got view {view!r} with join key {field_name!r}, but expected a request field of "
            f"that name; the model declares {sorted(fields)}"
        )
    if field.type is not KEY_FIELDS[key_type]:
        raise PlanError(
            f"Got request field {field_name!r} of type {field.type}, but expected "
            f"{KEY_FIELDS[key_type]}: view {view!r} has it as a join key of type {key_type}"
        )
    return JoinKey.model_validate({"name": column.name, "field": field_name, "type": key_type})


def _compile_feature(view: str, feature: Any) -> OnlineFeature:
    value_type = feature.dtype.to_value_type().name
    if value_type not in (*NUMERIC_TYPES, "STRING"):
        raise PlanError(
            f"Got feature {view}:{feature.name} of type {value_type}, but expected one of "
            f"{', '.join((*NUMERIC_TYPES, 'STRING'))}: nothing else becomes a model column"
        )
    return OnlineFeature(name=feature.name, type=value_type)


def _compile_request_function(
    view: Any, projection: Any, fields: dict[str, RequestField]
) -> RequestFunction:
    from training.request_time import request_function_of

    function = replace(request_function_of(view), name=projection.name_to_use())
    function = function.select([feature.name for feature in projection.features])
    missing = sorted(set(function.input_names) - set(fields))
    if missing:
        raise PlanError(
            f"Got on-demand view {view.name!r} with inputs {missing}, but expected request "
            f"fields; the model declares {sorted(fields)}"
        )
    text = sorted(name for name in function.input_names if fields[name].type is FieldType.STRING)
    if text:
        raise PlanError(
            f"Got text inputs {text} of on-demand view {view.name!r}, but expected numbers, "
            "booleans or timestamps"
        )
    return function
