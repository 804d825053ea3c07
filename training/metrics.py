"""Metrics with bootstrap intervals that respect that rows of one day are not independent.

Each interval is a cluster bootstrap: whole days are drawn with replacement, and the metric is
computed anew with every row weighted by how often its day was drawn (Cameron, Gelbach and
Miller 2008, "Bootstrap-Based Improvements for Inference with Clustered Errors"). Rows drawn
one by one would give intervals that are too narrow: a storm delays a whole day's flights.
"""

from __future__ import annotations

import math

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

N_RESAMPLES = 500
INTERVAL = (2.5, 97.5)
SMALLEST_PROBABILITY = 1e-15


def classification_metrics(
    labels: Floats, probabilities: Floats, days: npt.NDArray[np.int64], threshold: float | Floats
) -> dict[str, Metric]:
    """Return AUC, log loss, Brier, accuracy, precision, recall and F1 with 95 % intervals.

    Parameters
    ----------
    labels, probabilities
        Float64 ``(n_rows,)``, labels 0 or 1; both classes must occur.
    days
        Int64 ``(n_rows,)``: the day each row belongs to.
    threshold
        A probability of at least this counts as a predicted 1; one for all rows or for each.
    """
    clipped = np.clip(probabilities, SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
    log_losses = -(labels * np.log(clipped) + (1.0 - labels) * np.log1p(-clipped))
    predicted = (probabilities >= threshold).astype(np.float64)
    hits, ones = predicted * labels, np.ones(labels.size)
    resampler = DayResampler(days)
    return {
        "auc": resampler.measure_auc(labels, probabilities),
        "log_loss": resampler.measure_ratio(log_losses, ones),
        "brier": resampler.measure_ratio((probabilities - labels) ** 2, ones),
        "accuracy": resampler.measure_ratio((predicted == labels).astype(np.float64), ones),
        "precision": resampler.measure_ratio(hits, predicted),
        "recall": resampler.measure_ratio(hits, labels),
        "f1": resampler.measure_ratio(2.0 * hits, predicted + labels),
    }


def regression_metrics(
    labels: Floats, predictions: Floats, days: npt.NDArray[np.int64]
) -> dict[str, Metric]:
    """Return MAE and RMSE, in the label's unit, with 95 % intervals.

    All arrays are ``(n_rows,)``, floats as float64 and days as int64.
    """
    errors, ones = predictions - labels, np.ones(labels.size)
    resampler = DayResampler(days)
    squared = resampler.measure_ratio(errors**2, ones)
    return {
        "mae": resampler.measure_ratio(np.abs(errors), ones),
        "rmse": Metric(
            value=math.sqrt(squared.value), low=math.sqrt(squared.low), high=math.sqrt(squared.high)
        ),
    }


class DayResampler:
    """Draws whole days with replacement and measures each draw.

    Parameters
    ----------
    days
        Int64 ``(n_rows,)``: the day each row belongs to.
    """

    def __init__(self, days: npt.NDArray[np.int64]) -> None:
        _, self._day_of_row = np.unique(days, return_inverse=True)
        n_days = int(self._day_of_row.max()) + 1
        random = np.random.default_rng(0)
        drawn = random.multinomial(n_days, np.full(n_days, 1.0 / n_days), size=N_RESAMPLES)
        self._draws = np.vstack([np.ones(n_days), drawn])

    def measure_ratio(self, numerators: Floats, denominators: Floats) -> Metric:
        """Return the interval of a ratio of sums over rows; 0 where nothing is below it."""
        above = self._draws @ np.bincount(self._day_of_row, numerators)
        below = self._draws @ np.bincount(self._day_of_row, denominators)
        return _as_metric(np.divide(above, below, out=np.zeros_like(above), where=below != 0.0))

    def measure_auc(self, labels: Floats, scores: Floats) -> Metric:
        """Return the interval of the area under the ROC curve."""
        order = np.argsort(scores, kind="stable")
        labels, scores, day_of_row = labels[order], scores[order], self._day_of_row[order]
        return _as_metric(
            np.array([_sorted_auc(labels, scores, draw[day_of_row]) for draw in self._draws])
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
    pairs = float(positive.sum() * negative.sum())
    return float(positive @ (below + 0.5 * negative)) / pairs if pairs else 0.0


def _as_metric(measured: Floats) -> Metric:
    low, high = np.percentile(measured[1:], INTERVAL)
    return Metric(value=float(measured[0]), low=float(low), high=float(high))
