"""Compile Feast's registry into the catalog by which the service answers under ``/feast``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container
from typing import Any

from zeroskew.contract.errors.project import PlanError
from zeroskew.contract.feature_catalog import (
    CatalogService,
    CatalogView,
    Entity,
    FeatureCatalog,
    OnDemandPick,
    OnDemandView,
    PushSource,
    SourceColumns,
    UnservedView,
)
from zeroskew.features.on_demand.compile_views import compile_on_demand_view
from zeroskew.features.plans.lake_tables import LakeTables, find_lake_tables
from zeroskew.features.stored_views import key_ttl_seconds, plan_stored_view

__all__ = ["compile_catalog"]


def compile_catalog(store: Any) -> FeatureCatalog:
    """Compile all views, feature services and push sources of a project.

    Parameters
    ----------
    store
        Feast's ``FeatureStore``. What the service cannot read, on-demand views above all, is
        named with the reason.
    """
    from feast import OnDemandFeatureView
    from feast.data_source import PushSource as FeastPushSource

    views: dict[str, CatalogView] = {}
    unserved: dict[str, str] = {}
    fed_views: defaultdict[str, list[str]] = defaultdict(list)
    registered = {view.name: view for view in store.list_all_feature_views()}
    lake = find_lake_tables(store)
    for name, view in sorted(registered.items()):
        if isinstance(view, OnDemandFeatureView):
            continue
        try:
            views[name] = _compile_view(store, lake, view, view.projection)
        except PlanError as error:
            unserved[name] = str(error)
        else:
            if isinstance(view.stream_source, FeastPushSource):
                fed_views[view.stream_source.name].append(name)
    on_demand = _compile_on_demand(store, views, unserved)
    services = sorted(store.list_feature_services(), key=lambda service: service.name)
    return FeatureCatalog(
        project=store.project,
        views=tuple(views.values()),
        services=tuple(
            _compile_service(store, lake, one, registered, views, on_demand) for one in services
        ),
        push_sources=tuple(
            PushSource(name=name, views=tuple(fed)) for name, fed in sorted(fed_views.items())
        ),
        on_demand=tuple(on_demand.values()),
        entities=tuple(
            Entity(name=entity.name, join_key=entity.join_key)
            for entity in sorted(store.list_entities(), key=lambda entity: str(entity.name))
        ),
        tables=tuple(table for _, table in sorted(lake.tables.items())),
        unserved=tuple(UnservedView(name=name, reason=why) for name, why in unserved.items()),
        key_ttl_seconds=key_ttl_seconds(store),
    )


def _compile_on_demand(
    store: Any, stored: Container[str], unserved: dict[str, str]
) -> dict[str, OnDemandView]:
    """Return the on-demand views that can be computed, and add the others to `unserved`."""
    compiled: dict[str, OnDemandView] = {}
    for view in sorted(store.list_on_demand_feature_views(), key=lambda view: str(view.name)):
        try:
            compiled[view.name] = compile_on_demand_view(view, stored)
        except PlanError as error:
            unserved[view.name] = str(error)
    return compiled


def _compile_view(store: Any, lake: LakeTables, view: Any, projection: Any) -> CatalogView:
    from feast import FeatureView
    from feast.feature_view import DUMMY_ENTITY_ID

    if not isinstance(view, FeatureView):
        raise PlanError("its values are computed on demand or are not features")
    if not view.online:
        raise PlanError("it is declared with online=False")
    if view.join_keys in ([], [DUMMY_ENTITY_ID]):
        raise PlanError("it has no entity, and Feast reads such a view by another key than it has")
    if not view.enabled:
        raise PlanError("it is disabled")
    return CatalogView(
        **dict(plan_stored_view(store, view, projection)),
        version=view.current_version_number or 0,
        source=_source_columns(view.batch_source, lake),
    )


def _source_columns(source: Any, lake: LakeTables) -> SourceColumns | None:
    if source is None or not source.timestamp_field:
        return None
    return SourceColumns(
        timestamp=source.timestamp_field,
        created=source.created_timestamp_column or None,
        field_mapping=dict(source.field_mapping or {}),
        table=source.name if source.name in lake.tables else None,
        no_table=lake.refused.get(source.name),
    )


def _compile_service(
    store: Any,
    lake: LakeTables,
    service: Any,
    registered: dict[str, Any],
    served: Container[str],
    on_demand: Container[str],
) -> CatalogService:
    views: list[CatalogView] = []
    unserved: list[str] = []
    picks: list[OnDemandPick] = []
    for projection in service.feature_view_projections:
        if projection.name in served:
            views.append(_compile_view(store, lake, registered[projection.name], projection))
        elif projection.name in on_demand:
            features = tuple(feature.name for feature in projection.features)
            name = projection.name_to_use()
            picks.append(OnDemandPick(view=projection.name, name=name, features=features))
        else:
            name = projection.name_to_use()
            unserved += [f"{name}:{feature.name}" for feature in projection.features]
    return CatalogService(
        name=service.name,
        views=tuple(views),
        on_demand=tuple(picks),
        unserved=tuple(unserved),
    )
