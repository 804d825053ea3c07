"""What Feast, the lake and the online store would refuse of the feature repo's definitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import polars as pl
from feast.feature_view import DUMMY_ENTITY, DUMMY_ENTITY_ID, DUMMY_ENTITY_NAME

from training.checks.finding import Finding
from training.checks.project import ProjectView
from zeroskew.contract.errors.project import PlanError, TrainingError
from zeroskew.contract.errors.sentences import first_line, join_names
from zeroskew.contract.window_plan import WindowPlan
from zeroskew.features.offline_store.column_types import (
    as_polars,
    declared_type,
    fits_declared,
)
from zeroskew.features.offline_store.parquet.parquet_source import ParquetTable
from zeroskew.features.stored_views import KEY_TYPES, check_ttl
from zeroskew.features.windows.declare import feast_type, window_plan_of

__all__ = [
    "check_configuration",
    "check_names",
    "check_services",
    "check_view_tables",
    "check_views",
    "infer_views",
]

_KEY_SERIALIZATION: Final = 3


def check_configuration(project: ProjectView) -> Iterator[Finding]:
    """Refuse a layout of entity keys that the service does not read."""
    version = getattr(project.config, "entity_key_serialization_version", _KEY_SERIALIZATION)
    if project.config is not None and version != _KEY_SERIALIZATION:
        yield Finding(
            f"{project.workspace.feature_store_file}: entity_key_serialization_version",
            f"Got {version}, but expected {_KEY_SERIALIZATION}: the service reads no other keys",
        )


def check_names(project: ProjectView) -> Iterator[Finding]:
    """Find what Feast would mix up: two views, services or sources of one name."""
    definitions = project.definitions
    groups = (
        ("view", [*definitions.views, *definitions.on_demand_views]),
        ("feature service", definitions.services),
        ("source", definitions.sources),
        ("entity", definitions.entities),
    )
    for kind, known in groups:
        first: dict[str, Any] = {}
        for one in known:
            other = first.setdefault(one.name.lower(), one)
            if other is not one and not (kind == "source" and other == one):
                yield Finding(
                    definitions.place(kind, one),
                    f"Got the name of another {kind}, but expected one of its own; Feast does not "
                    "tell capitals apart",
                )


def check_views(project: ProjectView) -> Iterator[Finding]:
    """Look at each stored view's kind, keys and time to live."""
    for view in project.definitions.views:
        place = project.definitions.place("view", view)
        for message in (*_refused_kind(view), *_refused_keys(project, view), *_refused_ttl(view)):
            yield Finding(place, message)


def _refused_kind(view: Any) -> Iterator[str]:
    from feast import FeatureView

    if type(view) is not FeatureView:
        yield f"Got a {type(view).__name__}, but expected a FeatureView over a table in the lake"
    if getattr(view, "aggregations", None):
        yield "Got aggregations, but expected them in `zeroskew.windowed_view`"
    repeated = [name for name, n in Counter(one.name for one in view.features).items() if n > 1]
    if repeated:
        yield f"Got features {join_names(repeated)} more than once, but expected each once"


def _refused_keys(project: ProjectView, view: Any) -> Iterator[str]:
    known = {entity.name for entity in project.definitions.entities}
    if not view.entities or view.entities == [DUMMY_ENTITY_NAME]:
        yield (
            "Got no entity, but expected at least one: Feast reads a view without by another key "
            "than it writes"
        )
        return
    if unknown := sorted(set(view.entities) - known):
        yield f"Got entities {join_names(unknown)}, but expected some of {join_names(known)}"
    for column in view.entity_columns:
        kind = column.dtype.to_value_type().name
        if column.name != DUMMY_ENTITY_ID and kind not in KEY_TYPES:
            yield (
                f"Got join key {column.name!r} of type {kind}, but expected one of "
                f"{', '.join(KEY_TYPES)}"
            )


def _refused_ttl(view: Any) -> Iterator[str]:
    try:
        check_ttl(view)
    except PlanError as error:
        yield str(error)


def infer_views(project: ProjectView) -> Iterator[Finding]:
    """Complete views and services as ``feast apply`` will: types of keys, features of tables."""
    from feast.inference import update_feature_views_with_inferred_features_and_entities
    from feast.infra.passthrough_provider import PassthroughProvider

    if project.config is None:
        return
    definitions = project.definitions
    for view in definitions.views:
        try:
            # A view over a table that cannot be read is a finding of `check_view_tables`.
            if _needs_table(project, view):
                project.open_table(view.batch_source)
            update_feature_views_with_inferred_features_and_entities(
                _TableReader(PassthroughProvider),
                [view],
                [*definitions.entities, DUMMY_ENTITY],
                project.config,
            )
        except TrainingError:
            continue
        except Exception as error:  # Feast's inference raises whatever its parts raise.
            yield Finding(
                definitions.place("view", view),
                f"Got {type(error).__name__} from Feast ({first_line(error)}), but expected a "
                "view whose types it can infer; declare them in the schema",
            )
    by_name = {view.name: view for view in definitions.views}
    for service in definitions.services:
        try:
            service.infer_features(fvs_to_update=by_name)
        except Exception as error:  # The same.
            yield Finding(
                definitions.place("feature service", service),
                f"Got {type(error).__name__} from Feast ({first_line(error)}), but expected "
                "features that their views have",
            )


def _needs_table(project: ProjectView, view: Any) -> bool:
    """Whether Feast would look into the table for what the view does not declare."""
    declared = {entity.name for entity in project.definitions.entities if entity.value_type.value}
    keys = {column.name for column in view.entity_columns}
    return not view.features or not (set(view.entities) <= declared or keys)


class _TableReader:
    """The one deed of a provider that inference asks for."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    def get_table_column_names_and_types_from_data_source(self, config: Any, source: Any) -> Any:
        """Return names and types of a source's columns."""
        return source.get_table_column_names_and_types(config)


def check_view_tables(project: ProjectView) -> Iterator[Finding]:
    """Compare each view with its table, of which the footers alone are read."""
    for view in project.definitions.views:
        place = project.definitions.place("view", view)
        if view.batch_source is None:
            yield Finding(place, "Got no batch source, but expected a FileSource of Parquet")
            continue
        try:
            table = project.open_table(view.batch_source)
        except TrainingError as error:
            if not (project.awaits_tables and _is_missing(project, view.batch_source)):
                yield Finding(place, str(error))
            continue
        for message in _refused_columns(view, table):
            yield Finding(place, message)


def _is_missing(project: ProjectView, source: Any) -> bool:
    """Whether `zeroskew prepare` has yet to make the table."""
    path = str(getattr(source, "path", ""))
    repo = project.workspace.feature_repo
    return "://" not in path and bool(path) and not (repo / Path(path)).exists()


def _refused_columns(view: Any, table: ParquetTable) -> Iterator[str]:
    source = view.batch_source
    mapping = {new: old for old, new in (source.field_mapping or {}).items()}
    instants = {"event timestamp": source.timestamp_field}
    if source.created_timestamp_column:
        instants["created timestamp"] = source.created_timestamp_column
    for role, name in instants.items():
        column = mapping.get(name, name)
        said = _say_missing(table, column, role)
        if said is None and not isinstance(table.schema[column], pl.Datetime):
            said = f"Got {role} {column!r} of type {table.schema[column]}, but expected a timestamp"
        if said is not None:
            yield said
    keys = [column for column in view.entity_columns if column.name != DUMMY_ENTITY_ID]
    windows = window_plan_of(view)
    features = view.features if windows is None else _event_columns(windows)
    roles = [*(("join key", key) for key in keys), *(("feature", one) for one in features)]
    for role, declared in roles:
        column = mapping.get(declared.name, declared.name)
        if said := _refuse_type(table, column, role, declared.dtype):
            yield said


def _event_columns(windows: WindowPlan) -> list[Any]:
    from feast import Field

    return [Field(name=name, dtype=feast_type(kind)) for name, kind in windows.columns.items()]


def _refuse_type(table: ParquetTable, column: str, role: str, declared: Any) -> str | None:
    if (said := _say_missing(table, column, role)) is not None:
        return said
    arrow, stored = declared_type(declared), table.schema[column]
    if arrow is None or fits_declared(stored, as_polars(arrow)):
        return None
    return (
        f"Got {role} {column!r} of type {stored} in the table, but expected {declared}, as declared"
    )


def _say_missing(table: ParquetTable, column: str, role: str) -> str | None:
    if column in table.refused:
        return table.refused[column]
    if column in table.schema:
        return None
    return (
        f"Got a table without {role} {column!r}, but expected it among {join_names(table.schema)}"
    )


def check_services(project: ProjectView) -> Iterator[Finding]:
    """Find services over views that no file defines."""
    known = {one.name for one in (*project.definitions.views, *project.definitions.on_demand_views)}
    for service in project.definitions.services:
        for projection in service.feature_view_projections:
            if projection.name not in known:
                yield Finding(
                    project.definitions.place("feature service", service),
                    f"Got view {projection.name!r}, but expected one of {join_names(known)}",
                )
