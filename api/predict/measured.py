"""Counts predictions: who scored, how long it took, which scores, from which features."""

from __future__ import annotations

from typing import Final

import numpy as np

from api.metrics.service_metrics import ServiceMetrics
from api.predict.prediction import Prediction
from zeroskew.contract.feature_status import FeatureStatus
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.model.load_gate import ActiveModel
from zeroskew.model.plan.feature_matrix import FeatureMatrix
from zeroskew.model.plan.read_plan import ReadPlan

__all__ = ["count_features", "count_prediction"]

_MOST_VALUES: Final = 20_000
_STATUSES: Final = [status.name.lower() for status in FeatureStatus]


def count_prediction(
    metrics: ServiceMetrics,
    model: ActiveModel,
    arm: str | None,
    prediction: Prediction,
    seconds: float,
) -> None:
    """Count one version's part of an answer, and its scores."""
    labels = (model.name, str(model.version))
    scores, output = prediction.scores, model.manifest.output
    metrics.predictions.add((*labels, arm or ""))
    metrics.prediction_seconds.observe(seconds, (model.name,))
    metrics.rows.add(labels, len(scores))
    if prediction.is_degraded:
        metrics.degraded.add((model.name,))
    if output.kind == "probability":
        metrics.probabilities.observe_all(scores, labels)
    elif output.kind == "value":
        metrics.values.observe_all(scores, labels)
    elif output.classes is not None:
        for best in scores.argmax(axis=1).tolist():
            metrics.classes.add((*labels, output.classes[best]))


def count_features(
    metrics: ServiceMetrics, plan: ReadPlan, features: FeatureMatrix, now_us: int
) -> None:
    """Count the status of stored features, and the age of each view's rows; of many, the first."""
    status, event_us_of_all = features.origins
    n_rows = max(1, _MOST_VALUES // max(1, status.shape[1]))
    status, event_us_of_all = status[:n_rows], event_us_of_all[:n_rows]
    by_view: dict[str, list[int]] = {}
    for index, feature in enumerate(plan.features):
        by_view.setdefault(feature.view, []).append(index)
    for view, indices in by_view.items():
        counted = np.bincount(status[:, indices].ravel())
        for number in np.flatnonzero(counted).tolist():
            metrics.feature_values.add((view, _STATUSES[number]), int(counted[number]))
        # The features of a view are written together.
        event_us = event_us_of_all[:, indices[0]]
        known = event_us[event_us != NEVER_US]
        metrics.feature_age.observe_all((now_us - known) / 1e6, (view,))
