"""What the offline store says a model should have been given, with the times of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from training.dataset.build_dataset import encode_values, to_request_input
from zeroskew.contract.label_columns import EVENT_TIMESTAMP
from zeroskew.contract.manifest import Column, Manifest, RequestInput
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.features.offline_store.asof_join import CREATED, EVENT
from zeroskew.features.offline_store.entity_rows import EntityRows, read_entity_rows
from zeroskew.features.offline_store.historical_view import JoinedView
from zeroskew.features.offline_store.point_in_time import TimeOrder, join_view
from zeroskew.features.stored_features import slice_limits

__all__ = ["OfflineInput", "look_up"]

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


def look_up(
    store: Any,
    manifest: Manifest,
    views: dict[str, JoinedView],
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
    labels = read_entity_rows(requests.with_columns(times.alias(EVENT_TIMESTAMP)))
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
    store: Any, labels: EntityRows, order: TimeOrder, view: JoinedView, *, cutoff: bool
) -> pl.DataFrame:
    return join_view(labels, order, view, slice_limits(store), cutoff=cutoff, with_times=True)


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
