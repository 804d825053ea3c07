"""Metrics with bootstrap intervals that respect that rows of one day are not independent.

Each interval is a cluster bootstrap: whole days are drawn with replacement, and the metric is
computed anew with every row weighted by how often its day was drawn (Cameron, Gelbach and
Miller 2008, "Bootstrap-Based Improvements for Inference with Clustered Errors"). Rows drawn
one by one would give intervals that are too narrow: a storm delays a whole day's flights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from api.contract.manifest import Metric

__all__ = [
    "best_f1_threshold",
    "classification_metrics",
    "regression_metrics",
    "weighted_auc",
]

Floats = npt.NDArray[np.float64]
Score = Callable[[Floats], float]

N_RESAMPLES = 500
INTERVAL = (2.5, 97.5)
SMALLEST_PROBABILITY = 1e-15


def classification_metrics(
    labels: Floats, probabilities: Floats, days: npt.NDArray[np.int64], threshold: float
) -> dict[str, Metric]:
    """Return AUC, log loss, Brier, accuracy, precision, recall and F1 with 95 % intervals.

    Parameters
    ----------
    labels, probabilities
        Float64 ``(n_rows,)``, labels 0 or 1; both classes must occur.
    days
        Int64 ``(n_rows,)``: the day each row belongs to.
    threshold
        A probability of at least this counts as a predicted 1.
    """
    clipped = np.clip(probabilities, SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
    log_losses = -(labels * np.log(clipped) + (1.0 - labels) * np.log1p(-clipped))
    errors = (probabilities - labels) ** 2
    predicted = (probabilities >= threshold).astype(np.float64)
    hits = predicted * labels
    order = np.argsort(probabilities, kind="stable")
    scores: dict[str, Score] = {
        "auc": lambda w: _sorted_auc(labels[order], probabilities[order], w[order]),
        "log_loss": lambda w: _ratio(w @ log_losses, w.sum()),
        "brier": lambda w: _ratio(w @ errors, w.sum()),
        "accuracy": lambda w: _ratio(w @ (predicted == labels), w.sum()),
        "precision": lambda w: _ratio(w @ hits, w @ predicted),
        "recall": lambda w: _ratio(w @ hits, w @ labels),
        "f1": lambda w: _ratio(2.0 * (w @ hits), w @ predicted + w @ labels),
    }
    return _with_intervals(scores, days)


def regression_metrics(
    labels: Floats, predictions: Floats, days: npt.NDArray[np.int64]
) -> dict[str, Metric]:
    """Return MAE and RMSE, in the label's unit, with 95 % intervals.

    All arrays are ``(n_rows,)``, floats as float64 and days as int64.
    """
    errors = predictions - labels
    absolute, squared = np.abs(errors), errors**2
    return _with_intervals(
        {
            "mae": lambda w: _ratio(w @ absolute, w.sum()),
            "rmse": lambda w: float(np.sqrt(_ratio(w @ squared, w.sum()))),
        },
        days,
    )


def weighted_auc(labels: Floats, scores: Floats, weights: Floats) -> float:
    """Return the area under the ROC curve; tied scores count half (Mann-Whitney U).

    Examples
    --------
    >>> weighted_auc(np.array([0.0, 1.0, 1.0]), np.array([0.1, 0.1, 0.9]), np.ones(3))
    0.75
    """
    order = np.argsort(scores, kind="stable")
    return _sorted_auc(labels[order], scores[order], weights[order])


def best_f1_threshold(labels: Floats, probabilities: Floats) -> float:
    """Return the probability at which calling rows positive gives the best F1.

    Examples
    --------
    >>> best_f1_threshold(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.1, 0.4, 0.3, 0.9]))
    0.4
    """
    order = np.argsort(-probabilities, kind="stable")
    hits = np.cumsum(labels[order])
    f1 = 2.0 * hits / (np.arange(1, labels.size + 1) + labels.sum())
    ordered = probabilities[order]
    is_last_of_tie = np.append(ordered[1:] != ordered[:-1], True)
    return float(ordered[np.argmax(np.where(is_last_of_tie, f1, -1.0))])


def _sorted_auc(labels: Floats, scores: Floats, weights: Floats) -> float:
    starts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
    positive = np.add.reduceat(weights * labels, starts)
    negative = np.add.reduceat(weights * (1.0 - labels), starts)
    below = np.cumsum(negative) - negative
    return _ratio(positive @ (below + 0.5 * negative), positive.sum() * negative.sum())


def _ratio(numerator: Any, denominator: Any) -> float:
    return float(numerator / denominator) if denominator else 0.0


def _with_intervals(scores: dict[str, Score], days: npt.NDArray[np.int64]) -> dict[str, Metric]:
    _, cluster = np.unique(days, return_inverse=True)
    n_days = int(cluster.max()) + 1
    random = np.random.default_rng(0)
    draws = random.multinomial(n_days, np.full(n_days, 1.0 / n_days), size=N_RESAMPLES)
    resampled = {
        name: [score(draw[cluster].astype(np.float64)) for draw in draws]
        for name, score in scores.items()
    }
    ones = np.ones(cluster.size)
    metrics = {}
    for name, score in scores.items():
        low, high = np.percentile(resampled[name], INTERVAL)
        metrics[name] = Metric(value=score(ones), low=float(low), high=float(high))
    return metrics
