"""Moves the weights of a rollout's arms by Thompson sampling on a reward made from labels.

An arm's weight becomes the probability that it is the best one, given what its mature labels say
(Thompson, 1933), within the rollout's bounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from training.live.rollouts.guard import losses_of
from zeroskew.contract.rollout import Bandit

__all__ = ["bound_weights", "move_weights", "rewards_of"]

Floats = npt.NDArray[np.float64]
_N_DRAWS: Final = 20_000
_DECIMALS: Final = 4


def rewards_of(reward: str, labels: Floats, scores: Floats, thresholds: Floats | None) -> Floats:
    """Return each row's reward: 1 for a hit and else 0, or minus the absolute error."""
    if reward == "negative_error":
        return -losses_of("mae", labels, scores, thresholds)
    return 1 - losses_of("error", labels, scores, thresholds)


def move_weights(
    bandit: Bandit, rewards: Mapping[str, Floats], *, seed: int = 0
) -> dict[str, float] | None:
    """Return new weights of the arms, or ``None`` while one has too few labels to be judged.

    Parameters
    ----------
    rewards
        For each arm, in the rollout's order, float64 ``(n_labels,)``.
    seed
        Of the draws: the same evidence gives the same weights.
    """
    if min(values.size for values in rewards.values()) < bandit.min_labels:
        return None
    random = np.random.default_rng(seed)
    draws = np.stack([_draw(bandit, values, random) for values in rewards.values()])
    best = np.bincount(draws.argmax(axis=0), minlength=len(rewards)) / _N_DRAWS
    weights = bound_weights(best.tolist(), bandit.min_weight, bandit.max_weight)
    return dict(zip(rewards, weights, strict=True))


def bound_weights(shares: Sequence[float], least: float, most: float) -> list[float]:
    """Return weights within bounds that add up to 1, as near to shares as they can be.

    >>> bound_weights([1.0, 0.0, 0.0], 0.05, 0.85)
    [0.85, 0.075, 0.075]
    >>> bound_weights([0.5, 0.3, 0.2], 0.05, 0.9)
    [0.5, 0.3, 0.2]
    """
    # The nearest point of the bounded simplex is the shares moved by one number, and clipped.
    low, high = least - max(shares), most - min(shares)
    for _ in range(100):
        middle = (low + high) / 2
        total = sum(min(most, max(least, share + middle)) for share in shares)
        low, high = (middle, high) if total < 1 else (low, middle)
    weights = [round(min(most, max(least, share + high)), _DECIMALS) for share in shares]
    # What rounding leaves over goes where it breaks no bound, to several if need be.
    rest = 1 - sum(weights)
    for place, weight in enumerate(weights):
        weights[place] = round(min(most, max(least, weight + rest)), _DECIMALS)
        rest -= weights[place] - weight
    return weights


def _draw(bandit: Bandit, values: Floats, random: np.random.Generator) -> Floats:
    """Draw what the arm's mean reward may be."""
    if bandit.reward == "hit":
        hits = float(values.sum())
        return random.beta(1 + hits, 1 + values.size - hits, _N_DRAWS)
    error = values.std(ddof=1) / np.sqrt(values.size) if values.size > 1 else np.inf
    return random.normal(values.mean(), error, _N_DRAWS)
