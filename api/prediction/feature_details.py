"""Says of each feature of a prediction what the model was given and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from api.prediction.clock import to_epoch_us
from api.prediction.feature_matrix import FeatureStatus
from api.prediction.feature_plan import CompiledPlan
from api.prediction.online_features import NEVER_US
from api.prediction.plan_compiler import CompiledFeature
from api.prediction.predictor import Prediction
from api.prediction.value_codec import Value

__all__ = ["describe_features", "list_overridden"]

_NAMES: Final = {status: status.name.lower() for status in FeatureStatus}
_NOT_LIVE: Final = (FeatureStatus.STALE, FeatureStatus.FUTURE)


def describe_features(plan: CompiledPlan, prediction: Prediction) -> list[dict[str, Any]]:
    """Return for each instance its features as `api.schemas.FeatureDetail` has them.

    Stored features come first, by ``view:feature``, then the request's, by their field.
    """
    ages = _ages_seconds(prediction)
    return [
        _describe_stored(plan, prediction, row, ages[row])
        | {
            column.name: {
                "value": values[column.position],
                "status": "request",
                "age_seconds": None,
                "view": None,
            }
            for column in (*plan.request_columns, *plan.request_inputs)
        }
        for row, values in enumerate(prediction.instances.rows)
    ]


def list_overridden(prediction: Prediction) -> list[list[str]]:
    """Return for each instance the features it overrides."""
    instances = prediction.instances
    return [sorted(values) for values in instances.overrides or [{}] * len(instances.rows)]


def _describe_stored(
    plan: CompiledPlan, prediction: Prediction, row: int, ages: list[float | None]
) -> dict[str, Any]:
    origin_row = prediction.first_row + row
    status = prediction.features.status[origin_row].tolist()
    stored = prediction.stored
    cells = [None] * len(status) if stored is None else stored.row_cells(origin_row)
    overrides = prediction.instances.overrides
    given = overrides[row] if overrides else {}
    return {
        feature.reference: {
            "value": _value_given(
                feature, FeatureStatus(status[index]), given, plan.stored_value(index, cells[index])
            ),
            "status": _NAMES[FeatureStatus(status[index])],
            "age_seconds": ages[index],
            "view": feature.view,
        }
        for index, feature in enumerate(plan.features)
    }


def _value_given(
    feature: CompiledFeature,
    status: FeatureStatus,
    overrides: Mapping[str, Value | None],
    stored: Value | None,
) -> Value | None:
    """Return the value that the model was given, ``None`` where it was given none."""
    if status is FeatureStatus.OVERRIDE:
        return overrides[feature.reference]
    if status is FeatureStatus.DEFAULT:
        return feature.default
    hidden = status in _NOT_LIVE and feature.when_stale != "serve"
    return None if hidden or status is FeatureStatus.MISSING else stored


def _ages_seconds(prediction: Prediction) -> list[list[float | None]]:
    n_rows = len(prediction.instances.rows)
    event_us = prediction.features.event_us[prediction.first_row :][:n_rows]
    now_us = to_epoch_us(prediction.as_of)
    is_stored = event_us != NEVER_US
    ages = np.where(is_stored, now_us - np.where(is_stored, event_us, 0), 0) / 1e6
    return [
        [age if known else None for age, known in zip(row, stored, strict=True)]
        for row, stored in zip(ages.tolist(), is_stored.tolist(), strict=True)
    ]
