"""How Feast keeps a view online: its table, its features, its entity key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

from zeroskew.contract.errors.project import PlanError
from zeroskew.contract.manifest import JoinKey, OnlineFeature, ViewPlan
from zeroskew.contract.time.epoch import EPOCH
from zeroskew.contract.window_plan import STATE
from zeroskew.features.windows.declare import window_plan_of
from zeroskew.online.windows.event_view import EventView

__all__ = ["KEY_TYPES", "check_ttl", "event_views", "key_ttl_seconds", "plan_stored_view"]

_LONGEST_TTL: Final = EPOCH - datetime(1, 1, 2, tzinfo=UTC)
"""Before it there is no calendar."""
KEY_TYPES: Final = ("STRING", "INT64", "INT32", "BYTES")


def plan_stored_view(store: Any, view: Any, projection: Any) -> ViewPlan:
    """Return how a view is read, with the features and under the name that a projection gives.

    Parameters
    ----------
    store
        Feast's ``FeatureStore``.
    view
        The view as the registry has it.
    projection
        One of its projections; the join keys that it maps are the request's fields.

    Raises
    ------
    PlanError
        If a join key has a type that is no entity key, or the view's ttl is impossible.
    """
    from feast.infra.key_encoding_utils import serialize_entity_key_prefix
    from feast.infra.online_stores.helpers import compute_table_id

    check_ttl(view)
    windows = window_plan_of(view)
    name = projection.name_to_use()
    join_keys = sorted(
        (_plan_join_key(name, column, projection) for column in view.entity_columns),
        key=lambda key: key.name,
    )
    versioning = store.config.registry.enable_online_feature_view_versioning
    # An alias has the table of the stored view: only a version has its own.
    # Feast's own copies of a view, as `with_projection` makes, forget the number of its version.
    stored = SimpleNamespace(
        name=view.name,
        projection=projection,
        current_version_number=view.current_version_number,
    )
    return ViewPlan(
        name=name,
        table=compute_table_id(store.project, stored, versioning),
        join_keys=tuple(join_keys),
        key_prefix=serialize_entity_key_prefix([key.name for key in join_keys], 3).hex(),
        ttl_us=(view.ttl // timedelta(microseconds=1)) if view.ttl else None,
        features=tuple(
            OnlineFeature(name=feature.name, type=feature.dtype.to_value_type().name)
            for feature in projection.features
            if windows is None or feature.name != STATE
        ),
        windows=windows,
    )


def event_views(store: Any) -> list[EventView]:
    """Return all windowed views of Feast's ``FeatureStore`` that are kept online."""
    return [
        EventView(
            project=store.project,
            source=view.batch_source.name,
            plan=plan_stored_view(store, view, view.projection),
            has_created=bool(view.batch_source.created_timestamp_column),
            key_ttl_seconds=key_ttl_seconds(store),
        )
        for view in store.list_feature_views()
        if view.online and window_plan_of(view) is not None
    ]


def key_ttl_seconds(store: Any) -> int | None:
    """Return how long an entity lives after a write, where the online store ends it."""
    return getattr(store.config.online_store, "key_ttl_seconds", None) or None


def check_ttl(view: Any) -> None:
    """Raise `PlanError` unless a moment can be a view's ttl old: Feast subtracts the two."""
    if view.ttl and view.ttl < timedelta(0):
        raise PlanError(
            f"Got a ttl of {view.ttl.days:,} days of view {view.name!r}, but expected none or a "
            "positive one"
        )
    if view.ttl and view.ttl > _LONGEST_TTL:
        raise PlanError(
            f"Got a ttl of {view.ttl.days:,} days of view {view.name!r}, but expected at most "
            f"{_LONGEST_TTL.days:,}; timedelta(0) is for values that never expire"
        )


def _plan_join_key(view: str, column: Any, projection: Any) -> JoinKey:
    field = (projection.join_key_map or {}).get(column.name, column.name)
    key_type = column.dtype.to_value_type().name
    if key_type not in KEY_TYPES:
        raise PlanError(
            f"Got join key {column.name!r} of type {key_type} in view {view!r}, "
            f"but expected one of {', '.join(KEY_TYPES)}"
        )
    return JoinKey.model_validate({"name": column.name, "field": field, "type": key_type})
