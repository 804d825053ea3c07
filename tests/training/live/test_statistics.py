"""The bounds by which rollouts are judged hold as often as they say."""

import math

import numpy as np
import pytest
from scipy import stats

from training.live.rollouts.statistics import (
    binomial_bounds,
    compare_means,
    population_stability,
    spend_error_rate,
)


def test_all_looks_together_spend_the_error_rate() -> None:
    assert sum(spend_error_rate(0.05, look) for look in range(1, 200_000)) == pytest.approx(
        0.05, rel=1e-4
    )
    assert spend_error_rate(0.05, 1) > spend_error_rate(0.05, 2) > 0


@pytest.mark.parametrize(("n_hits", "n_trials"), [(0, 10), (3, 10), (10, 10), (17, 5000)])
def test_binomial_bounds_are_where_the_tails_are(n_hits: int, n_trials: int) -> None:
    low, high = binomial_bounds(n_hits, n_trials, 0.01)
    assert 0 <= low <= n_hits / n_trials <= high <= 1
    if n_hits:
        assert stats.binom.sf(n_hits - 1, n_trials, low) == pytest.approx(0.01)
    if n_hits < n_trials:
        assert stats.binom.cdf(n_hits, n_trials, high) == pytest.approx(0.01)


def test_rows_of_a_key_are_one_observation() -> None:
    random = np.random.default_rng(1)
    wrongly_told = 0
    n_trials = 400
    for _ in range(n_trials):
        arms = []
        for _ in range(2):
            keys = np.repeat(np.arange(60), 20)
            arms.append((random.normal(size=60)[keys] + random.normal(size=keys.size), keys))
        (one, one_keys), (other, other_keys) = arms
        low, high = compare_means(one, other, one_keys, other_keys).bounds(0.05)
        wrongly_told += low > 0 or high < 0
    # Both tails of 5 %; the rows taken one by one would err in half of all trials.
    assert wrongly_told / n_trials == pytest.approx(0.1, abs=0.05)


def test_the_error_of_independent_rows_is_the_usual_one() -> None:
    random = np.random.default_rng(2)
    one, other = random.normal(size=1000), random.normal(size=2000)
    found = compare_means(one, other, np.arange(1000), np.arange(2000))
    usual = math.sqrt(one.var(ddof=1) / 1000 + other.var(ddof=1) / 2000)
    assert found.value == pytest.approx(one.mean() - other.mean())
    assert found.error == pytest.approx(usual)


def test_a_single_key_says_nothing() -> None:
    found = compare_means(np.ones(5), np.zeros(5), ["a"] * 5, ["b"] * 5)
    assert found.bounds(0.05) == (-math.inf, math.inf)


def test_scores_of_one_distribution_seldom_pass_what_chance_makes() -> None:
    random = np.random.default_rng(3)
    n_past = 0
    for _ in range(300):
        index, by_chance = population_stability(
            random.normal(size=900), random.normal(size=1500), 0.05
        )
        n_past += index > by_chance
    assert n_past / 300 == pytest.approx(0.05, abs=0.04)
    index, by_chance = population_stability(
        random.normal(0.5, size=900), random.normal(size=1500), 0.05
    )
    assert index > 0.2 > by_chance


def test_scores_that_are_all_the_same_do_not_drift() -> None:
    index, _ = population_stability(np.ones(100), np.ones(200), 0.05)
    assert index == pytest.approx(0, abs=1e-2)
