"""What the offline store says a model should have been given, with the times of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from api.contract.manifest import Column, Manifest, RequestInput
from training.dataset import EVENT_TIMESTAMP, encode_values, to_request_input
from training.errors import StepError
from training.offline_store.asof_join import CREATED, EVENT
from training.offline_store.historical_view import HistoricalView, plan_view
from training.offline_store.labels import Labels, read_labels
from training.offline_store.point_in_time import TimeOrder, join_view

__all__ = ["NEVER_US", "OfflineInput", "find_views", "look_up"]

NEVER_US = int(np.iinfo(np.int64).min)

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class OfflineInput:
    """One input of a model as the offline store has it, for each prediction.

    ``known`` is what stood in the table when the prediction was made, and what training is given;
    ``eventual`` what a later look finds for the same moment, late rows included. Both are float64
    ``(n_rows,)``, coded and rounded as for the model. ``known_us`` is the event time of the first,
    ``created_us`` the created time of the second; the least number where there is none.
    """

    view: str
    feature: str
    known: Floats
    eventual: Floats
    known_us: Times
    created_us: Times


def find_views(store: Any, manifest: Manifest) -> dict[str, HistoricalView]:
    """Return the views of a model as Feast's registry defines them now, with their tables open.

    Raises
    ------
    StepError
        If the registry no longer has the feature service, or a view of the model.
    """
    service = manifest.plan.feature_service
    try:
        projections = store.get_feature_service(service).feature_view_projections
    except Exception as error:  # Feast's own are of many kinds.
        raise StepError(
            f"Got no feature service {service!r} in Feast's registry, but {manifest.model} needs it"
        ) from error
    found: dict[str, Any] = {}
    for projection in projections:
        view = store.registry.get_any_feature_view(projection.name, store.project)
        sources = getattr(view, "source_feature_view_projections", None)
        for one in [projection] if sources is None else sources.values():
            stored = store.registry.get_any_feature_view(one.name, store.project)
            found.setdefault(one.name_to_use(), stored.with_projection(one))
    views = {}
    for plan in manifest.plan.views:
        if plan.name not in found:
            raise StepError(
                f"Got no view {plan.name!r} behind {service!r} in Feast's registry, but "
                f"{manifest.model} needs it; has it been renamed or removed?"
            )
        view = found[plan.name]
        # All of its features: the service may have projected others for the request-time ones.
        view.projection.features = view.features
        views[plan.name] = plan_view(
            view,
            [f"{plan.name}:{feature.name}" for feature in plan.features],
            full_feature_names=True,
            repo_path=store.config.repo_path,
        )
    return views


def look_up(
    store: Any,
    manifest: Manifest,
    views: dict[str, HistoricalView],
    requests: pl.DataFrame,
    times: pl.Series,
) -> Iterator[OfflineInput]:
    """Yield each stored input of a model as of some predictions.

    Parameters
    ----------
    requests
        The request fields of each prediction.
    times
        The time of each: Datetime in UTC.
    """
    labels = read_labels(requests.with_columns(times.alias(EVENT_TIMESTAMP)))
    order = TimeOrder.of(labels.instants)
    plan = manifest.plan
    sources: tuple[Column | RequestInput, ...] = (*plan.columns, *plan.request_inputs)
    inputs: dict[str, list[Column | RequestInput]] = {}
    seen = set()
    for one in sources:
        if one.view is not None and (one.view, one.feature) not in seen:
            seen.add((one.view, one.feature))
            inputs.setdefault(one.view, []).append(one)
    for name, wanted in inputs.items():
        known, eventual = (
            _join(store, labels, order, views[name], cutoff=cutoff) for cutoff in (True, False)
        )
        for one in wanted:
            column = f"feature:{name}__{one.feature}"
            yield OfflineInput(
                view=name,
                feature=str(one.feature),
                known=_encode(known[column], one),
                eventual=_encode(eventual[column], one),
                known_us=_times(known, EVENT),
                created_us=_times(eventual, CREATED),
            )


def _join(
    store: Any, labels: Labels, order: TimeOrder, view: HistoricalView, *, cutoff: bool
) -> pl.DataFrame:
    limits = store.config.offline_store.limits
    joined = join_view(labels, order, view, limits, cutoff=cutoff, with_times=True)
    # The declared types, as the offline store gives them to training.
    declared = {f"feature:{one.output}": one.arrow_type for one in view.features}
    return joined.with_columns(
        pl.Series(name, joined[name].to_arrow().cast(arrow_type))
        for name, arrow_type in declared.items()
        if arrow_type is not None
    )


def _encode(values: pl.Series, one: Column | RequestInput) -> Floats:
    encoded = (
        encode_values(values, one)
        if isinstance(one, Column)
        else to_request_input(values, is_stored=True)
    )
    return encoded.cast(pl.Float64).to_numpy()


def _times(rows: pl.DataFrame, name: str) -> Times:
    if name not in rows.columns:
        return np.full(rows.height, NEVER_US)
    return rows[name].fill_null(NEVER_US).to_numpy()
