"""Stored features as they were known at each row's time: one join for training and for skew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from feast.errors import FeastObjectNotFoundException

from zeroskew.contract.errors.project import StepError
from zeroskew.contract.errors.sentences import first_line
from zeroskew.contract.label_columns import EVENT_TIMESTAMP
from zeroskew.contract.manifest import FeaturePlan
from zeroskew.features.offline_store.entity_rows import EntityRows, read_entity_rows
from zeroskew.features.offline_store.historical_view import JoinedView, plan_view
from zeroskew.features.offline_store.point_in_time import TimeOrder, join_view, join_views
from zeroskew.features.offline_store.time_slices import SliceLimits

__all__ = ["find_views", "join_stored_features", "join_view_as_of", "slice_limits"]


def find_views(store: Any, plan: FeaturePlan) -> dict[str, JoinedView]:
    """Return the views of a plan as Feast's registry defines them now, with their tables open.

    Raises
    ------
    StepError
        If the registry no longer has the feature service, or a view of the plan.
    OfflineStoreError
        If a view's table is not what the view declares.
    """
    service = plan.feature_service
    try:
        found = _find_stored_views(store, service)
    except FeastObjectNotFoundException as error:
        raise StepError(
            f"Got Feast's registry without what the model needs ({first_line(error)}), but "
            f"expected feature service {service!r} and its views; run `zeroskew apply`"
        ) from error
    views = {}
    for planned in plan.views:
        if planned.name not in found:
            raise StepError(
                f"Got no view {planned.name!r} behind {service!r} in Feast's registry, but "
                f"expected one of {sorted(found)}: the model needs it"
            )
        view = found[planned.name]
        # All of its features: the service may have projected others for the request-time ones.
        view.projection.features = view.features
        views[planned.name] = plan_view(
            view,
            [f"{planned.name}:{feature.name}" for feature in planned.features],
            full_feature_names=True,
            repo_path=store.config.repo_path,
        )
    return views


def _find_stored_views(store: Any, service: str) -> dict[str, Any]:
    """Return a service's stored views, those behind its on-demand views too, by name."""
    found: dict[str, Any] = {}
    for projection in store.get_feature_service(service).feature_view_projections:
        view = store.registry.get_any_feature_view(projection.name, store.project)
        sources = getattr(view, "source_feature_view_projections", None)
        for one in [projection] if sources is None else sources.values():
            stored = store.registry.get_any_feature_view(one.name, store.project)
            found.setdefault(one.name_to_use(), stored.with_projection(one))
    return found


def join_stored_features(
    store: Any, plan: FeaturePlan, views: Mapping[str, JoinedView], rows: pl.DataFrame
) -> pl.DataFrame:
    """Join the features of all views to rows as of each row's time.

    A value takes part only if its event time and its creation both lie at or before that time.
    Nothing passes through pandas: keys and features keep their types.

    Parameters
    ----------
    views
        What `find_views` returned.
    rows
        The plan's key fields and ``event_timestamp``, and perhaps other columns.

    Returns
    -------
    polars.DataFrame
        Columns ``view__feature`` in their declared types, in the order of ``rows``.

    Raises
    ------
    OfflineStoreError
        If keys cannot be compared, or a value does not fit its declared type.
    """
    labels = _keyed_rows(plan, rows)
    found = join_views(labels, list(views.values()), slice_limits(store), cutoff=True)
    joined = [one.rename(lambda name: name.removeprefix("feature:")) for one in found]
    return pl.concat(joined, how="horizontal") if joined else pl.DataFrame()


def join_view_as_of(
    store: Any,
    plan: FeaturePlan,
    view: JoinedView,
    rows: pl.DataFrame,
    *,
    cutoff: bool,
    with_times: bool,
) -> pl.DataFrame:
    """Join one view's features to rows; `point_in_time.join_view` says how.

    ``rows`` are those of `join_stored_features`.
    """
    labels = _keyed_rows(plan, rows)
    order = TimeOrder.of(labels.instants)
    return join_view(labels, order, view, slice_limits(store), cutoff=cutoff, with_times=with_times)


def slice_limits(store: Any) -> SliceLimits:
    """Return how much of a table the store's offline store reads at once.

    Raises
    ------
    StepError
        If it is another than ours: only that one joins as the service reads.
    """
    limits = getattr(store.config.offline_store, "limits", None)
    if not isinstance(limits, SliceLimits):
        raise StepError(
            f"Got offline store {store.config.offline_store.type!r}, but expected "
            "zeroskew.features.offline_store.polars_asof.PolarsAsofOfflineStore "
            "in feature_store.yaml"
        )
    return limits


def _keyed_rows(plan: FeaturePlan, rows: pl.DataFrame) -> EntityRows:
    return read_entity_rows(rows.select(*plan.list_key_fields(), EVENT_TIMESTAMP))
