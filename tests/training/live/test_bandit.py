"""A bandit finds the better arm, and stays within its bounds."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.live.rollouts.bandit import bound_weights, move_weights, rewards_of
from zeroskew.contract.arm_choice import ArmChooser, encode_json
from zeroskew.contract.rollout import Bandit, Rollout

Floats = npt.NDArray[np.float64]


def make_rollout(names: list[str], bandit: Bandit) -> Rollout:
    n = len(names)
    return Rollout.model_validate(
        {
            "kind": "bandit",
            "arms": [{"name": name, "version": 1, "weight": 1 / n} for name in names],
            "bandit": bandit,
        }
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("reward", "better"), [("hit", {"a": 0.72, "b": 0.78, "c": 0.70}), ("negative_error", None)]
)
def test_the_better_arm_has_most_of_the_traffic_in_the_end(
    seed: int, reward: str, better: dict[str, float] | None
) -> None:
    random = np.random.default_rng(seed)
    errors = {"a": 20.0, "b": 18.5, "c": 21.0}
    bandit = Bandit.model_validate({"reward": reward, "min_weight": 0.04, "max_weight": 0.9})
    rollout = make_rollout(["a", "b", "c"], bandit)
    earned: dict[str, list[Floats]] = {"a": [], "b": [], "c": []}
    dealt: dict[str, int] = {}
    for day in range(40):
        chooser = ArmChooser(rollout)
        keys = [encode_json({"plane": f"{seed}-{day}-{number}"}) for number in range(500)]
        names = [rollout.arms[chooser.choose(key)].name for key in keys]
        dealt = {name: names.count(name) for name in earned}
        for name, count in dealt.items():
            if better is not None:
                earned[name].append((random.random(count) < better[name]).astype(np.float64))
            else:
                earned[name].append(-np.abs(random.normal(0, errors[name], count)))
        rewards = {name: np.concatenate(values) for name, values in earned.items()}
        weights = move_weights(bandit, rewards)
        assert weights is not None
        assert math.fsum(weights.values()) == pytest.approx(1)
        assert all(0.04 <= weight <= 0.9 for weight in weights.values())
        arms = tuple(arm.model_copy(update={"weight": weights[arm.name]}) for arm in rollout.arms)
        rollout = Rollout.model_validate(dict(rollout) | {"arms": arms})
    assert dealt["b"] / 500 >= 0.8


def test_nothing_moves_before_every_arm_has_its_labels() -> None:
    bandit = Bandit(reward="hit", min_labels=100)
    assert move_weights(bandit, {"a": np.ones(1000), "b": np.zeros(99)}) is None
    moved = move_weights(bandit, {"a": np.ones(1000), "b": np.zeros(100)})
    assert moved == {"a": 0.9, "b": 0.1}


def test_the_same_labels_give_the_same_weights() -> None:
    bandit = Bandit(reward="negative_error", min_labels=10)
    random = np.random.default_rng(0)
    rewards = {name: -np.abs(random.normal(size=50)) for name in "ab"}
    assert move_weights(bandit, rewards) == move_weights(bandit, rewards)


def test_rewards_are_hits_or_errors() -> None:
    labels, scores = np.array([1.0, 0.0, 1.0]), np.array([0.6, 0.6, 0.2])
    assert rewards_of("hit", labels, scores, np.full(3, 0.5)).tolist() == [1, 0, 0]
    assert rewards_of("hit", labels, np.array([1.0, 2.0, 1.0]), None).tolist() == [1, 0, 1]
    assert rewards_of("negative_error", labels, scores, None) == pytest.approx([-0.4, -0.6, -0.8])


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=16).filter(lambda shares: sum(shares) > 0),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_weights_keep_their_bounds_and_add_up(
    shares: list[float], first: float, second: float
) -> None:
    n = len(shares)
    # Of bounds that no weights could keep, the rollout is refused.
    least = math.floor(1000 * first / n) / 1000
    most = round(1 / n + second * (1 - 1 / n) + 0.001, 3)
    total = sum(shares)
    weights = bound_weights([share / total for share in shares], least, most)
    assert math.fsum(weights) == pytest.approx(1, abs=1e-9)
    assert all(least - 1e-9 <= weight <= most + 1e-9 for weight in weights)
