"""Bounds and tests by which rollouts are judged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

__all__ = [
    "Difference",
    "binomial_bounds",
    "compare_means",
    "population_stability",
    "spend_error_rate",
]

Floats = npt.NDArray[np.float64]


def spend_error_rate(error_rate: float, look: int) -> float:
    """Return the share of an error rate that a judgement's number may spend.

    Whoever looks again and again finds something in the end. The shares ``6 / (pi look)^2`` of
    all looks add up to 1, so that together they err no more often than `error_rate`.

    >>> round(sum(spend_error_rate(0.05, look) for look in range(1, 100_000)), 4)
    0.05
    """
    return error_rate * 6.0 / (math.pi * look) ** 2


def binomial_bounds(n_hits: int, n_trials: int, error_rate: float) -> tuple[float, float]:
    """Return one-sided bounds of a probability (Clopper and Pearson, 1934).

    The true one is below the first, and above the second, with at most `error_rate` each.
    """
    low = stats.beta.ppf(error_rate, n_hits, n_trials - n_hits + 1) if n_hits else 0.0
    high = 1.0
    if n_hits < n_trials:
        high = stats.beta.ppf(1 - error_rate, n_hits + 1, n_trials - n_hits)
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """A candidate's mean minus the champion's, and its standard error."""

    value: float
    error: float

    def bounds(self, error_rate: float) -> tuple[float, float]:
        """Return one-sided bounds: the true difference is beyond either that often at most."""
        reach = float(stats.norm.isf(error_rate)) * self.error
        return self.value - reach, self.value + reach


def compare_means(
    candidate: Floats, champion: Floats, candidate_keys: Any, champion_keys: Any
) -> Difference:
    """Compare two arms' mean losses.

    Keys are dealt to arms at random and stay there, so what is independent is a key, and its
    rows are one observation. What a day brings falls on both arms alike.

    Parameters
    ----------
    candidate, champion
        Float64 ``(n_rows,)`` losses of each arm.
    candidate_keys, champion_keys
        The key of each row, of any type that sorts.

    Returns
    -------
    Difference
        With the error of a ratio of sums over clusters (Liang and Zeger, 1986).
    """
    first, second = (
        _mean_of_clusters(candidate, candidate_keys),
        _mean_of_clusters(champion, champion_keys),
    )
    return Difference(first[0] - second[0], math.sqrt(first[1] + second[1]))


def _mean_of_clusters(losses: Floats, keys: Any) -> tuple[float, float]:
    """Return the mean, and the variance of that mean."""
    _, places = np.unique(np.asarray(keys), return_inverse=True)
    mean = float(losses.mean())
    deviations = np.bincount(places, losses - mean)
    n_clusters = len(deviations)
    if n_clusters < 2:
        return mean, math.inf
    variance = float((deviations**2).sum()) / losses.size**2
    return mean, variance * n_clusters / (n_clusters - 1)


def population_stability(
    one: Floats, other: Floats, error_rate: float, *, n_bins: int = 10
) -> tuple[float, float]:
    """Return the population stability index of two samples of scores, and what chance makes of it.

    The index is ``sum((p - q) log(p / q))`` over bins of equal shares of the second sample. If both
    are of one distribution it is about ``(1/n + 1/m)`` times a chi-squared variable with one degree
    of freedom less than there are bins (Yurdakul, 2018), so the second number is exceeded with
    `error_rate`.
    """
    edges = np.unique(np.quantile(other, np.linspace(0, 1, n_bins + 1)[1:-1]))
    shares = []
    for sample in (one, other):
        counts = np.bincount(np.searchsorted(edges, sample, side="right"), minlength=len(edges) + 1)
        shares.append((counts + 0.5) / (sample.size + 0.5 * len(counts)))
    index = float(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum())
    scale = 1 / one.size + 1 / other.size
    return index, float(stats.chi2.isf(error_rate, max(1, len(edges)))) * scale
