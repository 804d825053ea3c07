"""Says of each feature of a prediction what the model was given and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from api.predict.prediction import Prediction
from zeroskew.contract.feature_status import FeatureStatus
from zeroskew.contract.manifest import FieldType
from zeroskew.contract.time.clock import format_instant
from zeroskew.contract.time.epoch import NEVER_US, to_epoch_us
from zeroskew.model.load_gate import ActiveModel
from zeroskew.model.plan.plan_compiler import CompiledFeature
from zeroskew.model.plan.read_plan import ReadPlan
from zeroskew.model.requests.instances import RequestRow
from zeroskew.online.values.decode import Value, ValueType

__all__ = ["describe_features", "list_overridden", "warn_of_unknown_entities"]

_NAMES: Final = {status: status.name.lower() for status in FeatureStatus}
_NOT_LIVE: Final = (FeatureStatus.STALE, FeatureStatus.FUTURE)


def describe_features(model: ActiveModel, prediction: Prediction) -> list[dict[str, Any]]:
    """Return for each instance its features as `FeatureDetail` has them.

    Stored features come first, by ``view:feature``, then the request's, by their field, then what
    the graph computed of both.
    """
    ages = _ages_seconds(prediction)
    computed = _describe_computed(model, prediction)
    return [
        _describe_stored(model.plan, prediction, row, ages[row])
        | _describe_request(model, values)
        | computed[row]
        for row, values in enumerate(prediction.instances.rows)
    ]


def warn_of_unknown_entities(features: list[dict[str, Any]], keys: list[str]) -> list[str]:
    """Return a sentence for each instance of whose entities nothing at all is stored.

    Parameters
    ----------
    features
        What `describe_features` returns.
    keys
        The request fields that are entity keys.
    """
    warnings = []
    for number, described in enumerate(features):
        stored = [one["status"] for one in described.values() if one["view"] is not None]
        if stored and all(status == "missing" for status in stored):
            warnings.append(
                f"Instance {number}: nothing is stored for its {', '.join(keys)}; all of its "
                f"{len(stored)} stored features are null, as for an entity that nobody knows."
            )
    return warnings


def list_overridden(prediction: Prediction) -> list[list[str]]:
    """Return for each instance the features it overrides."""
    instances = prediction.instances
    return [sorted(values) for values in instances.overrides or [{}] * len(instances.rows)]


def _describe_request(model: ActiveModel, values: RequestRow) -> dict[str, Any]:
    fields = model.manifest.request
    described = {}
    for column in (*model.plan.request_columns, *model.plan.request_inputs):
        value = values[column.position]
        if fields[column.position].type is FieldType.TIMESTAMP and value is not None:
            value = format_instant(float(value))
        described[column.name] = _detail(value, "request")
    return described


def _describe_computed(model: ActiveModel, prediction: Prediction) -> list[dict[str, Any]]:
    """Return the request-time features of each instance; what is missing is null, not NaN."""
    names = model.manifest.plan.request_features
    n_rows = len(prediction.instances.rows)
    if not names:
        return [{}] * n_rows
    rows = slice(prediction.first_row, prediction.first_row + n_rows)
    matrix = prediction.features
    computed = model.session.compute_request_features(matrix.values[rows], matrix.request[rows])
    return [
        {
            name: _detail(None if np.isnan(value) else float(value), "computed")
            for name, value in zip(names, row, strict=True)
        }
        for row in computed
    ]


def _detail(value: Value | None, status: str) -> dict[str, Any]:
    return {"value": value, "status": status, "age_seconds": None, "view": None}


def _describe_stored(
    plan: ReadPlan, prediction: Prediction, row: int, ages: list[float | None]
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
    value = stored
    if status is FeatureStatus.OVERRIDE:
        value = overrides[feature.reference]
    elif status is FeatureStatus.DEFAULT:
        value = feature.default
    elif status is FeatureStatus.MISSING or (status in _NOT_LIVE and feature.when_stale != "serve"):
        value = None
    if feature.type is ValueType.UNIX_TIMESTAMP and isinstance(value, int | float):
        return format_instant(value)
    return value


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
