"""No model is made of an input that has no value in training, unless it is said to be wanted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import polars as pl

from zeroskew.contract.errors.project import DatasetError
from zeroskew.contract.manifest import Column, FeaturePlan, RequestInput
from zeroskew.declarations.model_spec import ModelSpec
from zeroskew.features.offline_store.asof_join import EVENT
from zeroskew.features.offline_store.historical_view import JoinedView
from zeroskew.features.stored_features import join_view_as_of

__all__ = ["list_inputs", "refuse_empty_inputs"]

_MOST_NAMED = 2


def list_inputs(
    plan: FeaturePlan, features: pl.DataFrame, request: pl.DataFrame
) -> dict[str, pl.Series]:
    """Return what the graph is given, by ``view:feature`` or request field; NaN is no value.

    The moment of the prediction goes by its own name.

    Parameters
    ----------
    features, request
        As in `training.dataset.build_dataset.Dataset`.
    """
    sources: tuple[Column | RequestInput, ...] = (*plan.columns, *plan.request_inputs)
    columns = [*(features[one.name] for one in plan.columns), *request.get_columns()]
    return {
        f"{one.view}:{one.feature}" if one.view is not None else str(one.field or one.name): values
        for one, values in zip(sources, columns, strict=True)
    }


def refuse_empty_inputs(
    store: Any,
    spec: ModelSpec,
    plan: FeaturePlan,
    views: Mapping[str, JoinedView],
    rows: pl.DataFrame,
    inputs: Mapping[str, pl.Series],
) -> None:
    """Raise if an input has no value in the training rows and is not in ``spec.may_be_empty``.

    Parameters
    ----------
    rows
        The training rows: request fields and ``event_timestamp``.
    inputs
        What `list_inputs` returned of the same rows, and the features that the graph computes.

    Raises
    ------
    DatasetError
        The sentence says the likely reason.
    """
    empty = [
        reference
        for reference, values in inputs.items()
        if values.is_nan().all() and reference not in spec.may_be_empty
    ]
    if not empty:
        return
    named = ", ".join(empty[:_MOST_NAMED])
    more = f" and {len(empty) - _MOST_NAMED} more" if len(empty) > _MOST_NAMED else ""
    raise DatasetError(
        f"Got no value of {named}{more} in {rows.height:,} training rows, but expected some: "
        f"{_explain(store, plan, views, rows, empty[0])}. Mend it, or name it in may_be_empty"
    )


def _explain(
    store: Any,
    plan: FeaturePlan,
    views: Mapping[str, JoinedView],
    rows: pl.DataFrame,
    reference: str,
) -> str:
    view_name, _, feature = reference.partition(":")
    view = views.get(view_name)
    if view is None:
        return "it is null there in the label table, or what computes it gives NaN"
    column = f"feature:{view_name}__{feature}"

    def joined(*, cutoff: bool, forever: bool) -> pl.DataFrame:
        asked = dataclasses.replace(view, ttl_us=None) if forever else view
        return join_view_as_of(store, plan, asked, rows, cutoff=cutoff, with_times=True)

    eventual = joined(cutoff=False, forever=True)
    if eventual[EVENT].is_null().all():
        return f"no row of view {view_name!r} has the key of a label and an event before it"
    if eventual[column].is_null().all() or (
        eventual[column].dtype.is_float() and (eventual[column].is_nan().all())
    ):
        return "the column is null in all rows of the labels' keys"
    if joined(cutoff=True, forever=True)[column].is_null().all():
        return f"{view.created_column!r} is later than every label, so it was not known yet"
    return "it is older than the view's ttl at every label"
