"""Metrics with bootstrap intervals that respect that rows of one day are not independent.

Each interval is a cluster bootstrap: whole days are drawn with replacement, and the metric is
computed anew with every row weighted by how often its day was drawn (Cameron, Gelbach and
Miller 2008, "Bootstrap-Based Improvements for Inference with Clustered Errors"). Rows drawn
one by one would give intervals that are too narrow: a storm delays a whole day's flights.

A metric that the rows do not define, such as the precision of a model that calls nothing
positive, is left out; a draw that does not define it has no part in its interval.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeroskew.contract.manifest import Metric
from zeroskew.declarations.objective_table import Objective

__all__ = [
    "best_constant",
    "best_f1_threshold",
    "classification_metrics",
    "compare_losses",
    "log_losses",
    "measure_scores",
    "multiclass_metrics",
    "pinball_losses",
    "regression_metrics",
    "row_losses",
    "weighted_auc",
]

Floats = npt.NDArray[np.float64]

N_RESAMPLES = 500
INTERVAL = (2.5, 97.5)
SMALLEST_PROBABILITY = 1e-15
SMALLEST_MEAN = 1e-300


def measure_scores(
    objective: Objective,
    labels: Floats,
    scores: Floats,
    days: npt.NDArray[np.int64],
    threshold: float | Floats | None = None,
) -> dict[str, Metric]:
    """Return the metrics that an objective is measured by, with 95 % intervals.

    Parameters
    ----------
    labels
        Float64 ``(n_rows,)``; of classes their numbers.
    scores
        Float64 ``(n_rows,)``, or ``(n_rows, n_classes)`` of classes.
    days
        Int64 ``(n_rows,)``: the day each row belongs to.
    threshold
        Of probabilities, from which on a row counts as positive; one for all rows or for each.
    """
    if objective.kind == "probability":
        assert threshold is not None
        return classification_metrics(labels, scores, days, threshold)
    if objective.kind == "probabilities":
        return multiclass_metrics(labels, scores, days)
    measured = regression_metrics(labels, scores, days)
    resampler, ones = DayResampler(days), np.ones(labels.size)
    more: dict[str, Metric | None] = {}
    if objective.metric not in measured:
        with np.errstate(divide="ignore", invalid="ignore"):
            losses = row_losses(objective, labels, scores)
        # What comes by feedback may be no label of the objective, such as a gamma's 0.
        is_defined = bool(np.isfinite(losses).all())
        more[objective.metric] = resampler.measure_ratio(losses, ones) if is_defined else None
    if objective.name == "quantile":
        below = (labels <= scores).astype(np.float64)
        more["coverage"] = resampler.measure_ratio(below, ones)
    return measured | _defined(more)


def classification_metrics(
    labels: Floats, probabilities: Floats, days: npt.NDArray[np.int64], threshold: float | Floats
) -> dict[str, Metric]:
    """Return AUC, log loss, Brier, accuracy, precision, recall and F1 with 95 % intervals.

    Parameters
    ----------
    labels, probabilities
        Float64 ``(n_rows,)``. A label between 0 and 1 counts as that share of a positive row.
    days
        Int64 ``(n_rows,)``: the day each row belongs to.
    threshold
        A probability of at least this counts as a predicted 1; one for all rows or for each.
    """
    predicted = (probabilities >= threshold).astype(np.float64)
    hits, ones = predicted * labels, np.ones(labels.size)
    right = hits + (1.0 - predicted) * (1.0 - labels)
    resampler = DayResampler(days)
    return _defined(
        {
            "auc": resampler.measure_auc(labels, probabilities),
            "log_loss": resampler.measure_ratio(log_losses(labels, probabilities), ones),
            "brier": resampler.measure_ratio((probabilities - labels) ** 2, ones),
            "accuracy": resampler.measure_ratio(right, ones),
            "precision": resampler.measure_ratio(hits, predicted),
            "recall": resampler.measure_ratio(hits, labels),
            "f1": resampler.measure_ratio(2.0 * hits, predicted + labels),
        }
    )


def multiclass_metrics(
    labels: Floats, probabilities: Floats, days: npt.NDArray[np.int64]
) -> dict[str, Metric]:
    """Return log loss, Brier, accuracy, macro F1 and macro AUC with 95 % intervals.

    A macro metric is the mean over the classes that define it: F1 of the class that is the
    likeliest, AUC of one class against all others.

    Parameters
    ----------
    labels
        Float64 ``(n_rows,)``: numbers of classes; another number is a class unknown to the model,
        to which it gave the probability 0.
    probabilities
        Float64 ``(n_rows, n_classes)``.
    days
        Int64 ``(n_rows,)``: the day each row belongs to.
    """
    classes = np.arange(probabilities.shape[1])
    true = (labels[:, None] == classes).astype(np.float64)
    predicted = (probabilities.argmax(axis=1)[:, None] == classes).astype(np.float64)
    resampler, ones = DayResampler(days), np.ones(labels.size)
    # An unknown class is one more miss of the Brier score.
    misses = ((probabilities - true) ** 2).sum(axis=1) + (1.0 - true.sum(axis=1))
    f1 = [
        resampler.ratios(2.0 * predicted[:, k] * true[:, k], predicted[:, k] + true[:, k])
        for k in classes
    ]
    auc = [resampler.aucs(true[:, k], probabilities[:, k]) for k in classes]
    return _defined(
        {
            "log_loss": resampler.measure_ratio(_class_losses(labels, probabilities), ones),
            "brier": resampler.measure_ratio(misses, ones),
            "accuracy": resampler.measure_ratio((predicted * true).sum(axis=1), ones),
            "macro_f1": _as_metric(_mean_of_defined(f1)),
            "macro_auc": _as_metric(_mean_of_defined(auc)),
        }
    )


def regression_metrics(
    labels: Floats, predictions: Floats, days: npt.NDArray[np.int64]
) -> dict[str, Metric]:
    """Return MAE and RMSE, in the label's unit, with 95 % intervals.

    All arrays are ``(n_rows,)``, floats as float64 and days as int64.
    """
    errors, ones = predictions - labels, np.ones(labels.size)
    resampler = DayResampler(days)
    return _defined(
        {
            "mae": resampler.measure_ratio(np.abs(errors), ones),
            "rmse": _as_metric(np.sqrt(resampler.ratios(errors**2, ones))),
        }
    )


def compare_losses(
    objective: Objective,
    labels: Floats,
    scores: Floats,
    others: Floats,
    days: npt.NDArray[np.int64],
) -> Metric:
    """Return the objective's metric of `scores` minus that of `others`, with its interval.

    Both are measured on the same days in each draw, so what a day brings to both does not widen
    the interval. Arrays are as in `measure_scores`.
    """
    resampler, ones = DayResampler(days), np.ones(labels.size)
    measured, other = (
        resampler.ratios(row_losses(objective, labels, one), ones) for one in (scores, others)
    )
    if objective.metric == "rmse":
        measured, other = np.sqrt(measured), np.sqrt(other)
    difference = _as_metric(measured - other)
    assert difference is not None  # A mean over rows is defined in every draw.
    return difference


def row_losses(objective: Objective, labels: Floats, scores: Floats) -> Floats:
    """Return each row's loss, of which the objective's metric is the mean, ``(n_rows,)``.

    Of ``rmse`` it is the squared error; deviances are twice the lost log likelihood (Jorgensen,
    1987), pinball losses after Koenker and Bassett (1978). Arrays are as in `measure_scores`.

    Examples
    --------
    >>> from zeroskew.contract.manifest import Output
    >>> from zeroskew.declarations.objectives import read_objective
    >>> parameters = {"objective": "quantile", "alpha": 0.75}
    >>> quartile = read_objective(parameters, Output(kind="value", description=""))
    >>> row_losses(quartile, np.array([3.0, 0.0]), np.array([1.0, 1.0]))
    array([1.5 , 0.25])
    """
    if objective.kind == "probabilities":
        return _class_losses(labels, scores)
    errors = labels - scores
    means = np.maximum(scores, SMALLEST_MEAN)
    match objective.metric:
        case "log_loss":
            return log_losses(labels, scores)
        case "mae":
            return np.abs(errors)
        case "mape":
            return np.abs(errors / labels)
        case "pinball":
            return pinball_losses(labels, scores, objective.level)
        case "poisson_deviance":
            return _tweedie_losses(labels, means, 1.0)
        case "tweedie_deviance":
            return _tweedie_losses(labels, means, objective.power)
        case "gamma_deviance":
            return 2.0 * (labels / means - 1.0 - np.log(labels / means))
    return errors**2


def pinball_losses(labels: Floats, predictions: Floats, level: float) -> Floats:
    """Return what each row loses by a predicted quantile, ``(n_rows,)``.

    ``level`` for each unit that the label lies above it, ``1 - level`` for each below.
    """
    errors = labels - predictions
    losses: Floats = np.maximum(level * errors, (level - 1.0) * errors)
    return losses


def best_constant(objective: Objective, labels: Floats) -> Floats:
    """Return the one answer to all rows that has the least loss over `labels`.

    Parameters
    ----------
    labels
        Float64 ``(n_rows,)``, not empty.

    Returns
    -------
    ndarray
        Float64 ``()``, or ``(n_classes,)``: the classes' shares, the quantile, the median, of
        ``mape`` the median of labels that weigh ``1 / |label|``, and else the mean.
    """
    if objective.kind == "probabilities":
        counts = np.bincount(labels.astype(np.int64), minlength=len(objective.classes))
        return counts / labels.size
    if objective.metric in ("mae", "pinball"):
        level = objective.level if objective.metric == "pinball" else 0.5
        return np.asarray(np.quantile(labels, level))
    if objective.metric == "mape":
        ordered = np.sort(labels)
        weights = np.cumsum(1.0 / np.abs(ordered))
        return np.asarray(ordered[np.searchsorted(weights, 0.5 * weights[-1])])
    return np.asarray(labels.mean())


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

    def ratios(self, numerators: Floats, denominators: Floats) -> Floats:
        """Return ratios of sums over rows, ``(1 + n_draws,)``: of all rows, then of each draw.

        NaN where nothing is below it.
        """
        above = self._draws @ np.bincount(self._day_of_row, numerators)
        below = self._draws @ np.bincount(self._day_of_row, denominators)
        return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0.0)

    def measure_ratio(self, numerators: Floats, denominators: Floats) -> Metric | None:
        """Return the interval of a ratio of sums over rows, ``None`` where nothing is below it."""
        return _as_metric(self.ratios(numerators, denominators))

    def aucs(self, labels: Floats, scores: Floats) -> Floats:
        """Return areas under the ROC curve, ``(1 + n_draws,)``; NaN where a class is missing."""
        order = np.argsort(scores, kind="stable")
        labels, scores, day_of_row = labels[order], scores[order], self._day_of_row[order]
        return np.array([_sorted_auc(labels, scores, draw[day_of_row]) for draw in self._draws])

    def measure_auc(self, labels: Floats, scores: Floats) -> Metric | None:
        """Return the interval of the area under the ROC curve, ``None`` of one class."""
        return _as_metric(self.aucs(labels, scores))


def weighted_auc(labels: Floats, scores: Floats, weights: Floats) -> float:
    """Return the area under the ROC curve; tied scores count half (Mann-Whitney U).

    A label between 0 and 1 is that share of a positive row. NaN where there are no positive
    rows, or no others.

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
    return float(positive @ (below + 0.5 * negative)) / pairs if pairs else float("nan")


def log_losses(labels: Floats, probabilities: Floats) -> Floats:
    """Return minus the log likelihood of each row, ``(n_rows,)``; a label may be a share."""
    clipped = np.clip(probabilities, SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
    losses: Floats = -(labels * np.log(clipped) + (1.0 - labels) * np.log1p(-clipped))
    return losses


def _class_losses(labels: Floats, probabilities: Floats) -> Floats:
    """Return minus the logarithm of the probability that each row's own class was given."""
    true = labels[:, None] == np.arange(probabilities.shape[1])
    given = np.where(true, probabilities, 0.0).sum(axis=1)
    losses: Floats = -np.log(np.clip(given, SMALLEST_PROBABILITY, 1.0))
    return losses


def _tweedie_losses(labels: Floats, means: Floats, power: float) -> Floats:
    """Return deviances for a variance of ``mean ** power``, ``1 <= power < 2``."""
    if power == 1.0:
        logarithms = np.log(np.where(labels > 0.0, labels / means, 1.0))
        poisson: Floats = 2.0 * (labels * logarithms - labels + means)
        return poisson
    first, second = 1.0 - power, 2.0 - power
    return 2.0 * (
        labels**second / (first * second) - labels * means**first / first + means**second / second
    )


def _mean_of_defined(parts: list[Floats]) -> Floats:
    """Return the mean over the parts that are no NaN, ``(1 + n_draws,)``; NaN where all are."""
    stacked = np.stack(parts)
    count = np.isfinite(stacked).sum(axis=0)
    total = np.nansum(stacked, axis=0)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _defined(measured: dict[str, Metric | None]) -> dict[str, Metric]:
    return {name: metric for name, metric in measured.items() if metric is not None}


def _as_metric(measured: Floats) -> Metric | None:
    """Return the first value between percentiles of the others, ``None`` where it is NaN."""
    if not np.isfinite(measured[0]):
        return None
    drawn = measured[1:][np.isfinite(measured[1:])]
    low, high = np.percentile(drawn, INTERVAL) if drawn.size else (measured[0], measured[0])
    return Metric(value=float(measured[0]), low=float(low), high=float(high))
