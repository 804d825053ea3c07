"""What keeps a declared model from being compiled, trained or served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from feast.feature_view import DUMMY_ENTITY_ID

from training.checks.finding import Finding
from training.checks.project import ProjectView
from zeroskew.contract.errors.project import TrainingError
from zeroskew.contract.errors.sentences import join_names
from zeroskew.contract.manifest import FieldType, RequestField
from zeroskew.declarations.model_spec import ModelSpec
from zeroskew.features.plans.compile_plan import (
    COLUMN_TYPES,
    INPUT_TYPES,
    check_feature_type,
    check_is_served,
    check_join_key,
    compile_plan,
    compile_request_function,
)
from zeroskew.features.stored_views import plan_stored_view

__all__ = ["check_examples", "check_features", "check_repeated_names"]


def check_repeated_names(project: ProjectView) -> Iterator[Finding]:
    """Find a request field or a column that is declared twice."""
    for name, spec in project.models.items():
        for what, names in (
            ("request", [field.name for field in spec.request]),
            ("columns", list(spec.columns)),
        ):
            if repeated := [one for one, count in Counter(names).items() if count > 1]:
                yield Finding(
                    f"{name}.py: {what}",
                    f"Got {join_names(repeated)} more than once, but expected each name once",
                    name,
                )


def check_examples(project: ProjectView) -> Iterator[Finding]:
    """Hold each field's example to what the service would say to it."""
    for name, spec in project.models.items():
        for field in spec.request:
            if (refused := _refuse_example(field)) is not None:
                got, expected = refused
                yield Finding(
                    f"{name}.py: request.{field.name}",
                    f"Got example {got!r}, but expected {expected}",
                    name,
                )


def _refuse_example(field: RequestField) -> tuple[object, str] | None:
    example = field.example
    if example is None:
        return None if field.nullable else (None, "a value: the field is not nullable")
    if field.choices is not None:
        if field.type is not FieldType.STRING:
            return example, f"no choices for a field of type {field.type}"
        if example not in field.choices:
            return example, f"one of its choices {join_names(field.choices)}"
    if field.type is FieldType.TIMESTAMP:
        try:
            moment = datetime.fromisoformat(str(example))
        except ValueError:
            return example, "an instant such as 2024-06-01T12:00:00Z"
        if moment.tzinfo is None:
            return example, "an instant with its offset, such as 2024-06-01T12:00:00Z"
    return None


def check_features(project: ProjectView) -> Iterator[Finding]:
    """Compile each model's feature service as the data set step will, but go on at a mistake."""
    if project.config is None:
        return
    for name, spec in project.models.items():
        found = [Finding(place, said, name) for place, said in _find_in_service(project, spec)]
        is_defined = any(one.name == spec.feature_service for one in project.definitions.services)
        # What the pieces above do not see: names that mean two things, policies, defaults.
        if is_defined and not found and (said := _error_of(compile_plan, project.store, spec)):
            found.append(Finding(f"{name}.py: feature_service", said, name))
        yield from found


def _find_in_service(project: ProjectView, spec: ModelSpec) -> Iterator[tuple[str, str]]:
    place = f"{spec.name}.py: feature_service"
    services = {one.name: one for one in project.definitions.services}
    service = services.get(spec.feature_service)
    if service is None:
        # Files that do not run are findings already, and the service may stand in one of them.
        if not project.definitions.findings:
            yield (
                place,
                f"Got {spec.feature_service!r}, but expected one of {join_names(services)}",
            )
        return
    fields = {field.name: field for field in spec.request}
    on_demand = {one.name: one for one in project.definitions.on_demand_views}
    stored = {one.name: one for one in project.definitions.views}
    place = f"{spec.name}.py: {spec.feature_service}"
    for projection in service.feature_view_projections:
        if projection.name in on_demand:
            view = on_demand[projection.name]
            if said := _error_of(_trace_view, project, view, projection, fields):
                yield place, said
            for source in view.source_feature_view_projections.values():
                if source.name in stored:
                    yield from (
                        (place, said)
                        for said in _find_in_view(
                            project, stored[source.name], source, fields, INPUT_TYPES
                        )
                    )
        elif projection.name in stored:
            view = stored[projection.name]
            yield from (
                (place, said)
                for said in _find_in_view(project, view, projection, fields, COLUMN_TYPES)
            )


def _trace_view(
    project: ProjectView, view: Any, projection: Any, fields: dict[str, RequestField]
) -> None:
    project.check_trace(compile_request_function(view, projection, fields))


def _find_in_view(
    project: ProjectView,
    view: Any,
    projection: Any,
    fields: dict[str, RequestField],
    types: tuple[str, ...],
) -> Iterator[str]:
    if said := _error_of(check_is_served, view):
        yield said
    try:
        plan = plan_stored_view(project.store, view, projection)
    except TrainingError as error:
        yield str(error)
        return
    for key in plan.join_keys:
        if key.name == DUMMY_ENTITY_ID:
            continue  # An entityless view is a finding of its own.
        if said := _error_of(check_join_key, plan.name, key, fields):
            yield said
    for feature in plan.features:
        if said := _error_of(check_feature_type, plan.name, feature, types):
            yield said


def _error_of(function: Callable[..., object], *arguments: object) -> str | None:
    try:
        function(*arguments)
    except TrainingError as error:
        return str(error)
    return None
