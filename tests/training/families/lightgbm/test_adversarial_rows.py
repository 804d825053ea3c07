from __future__ import annotations

from tests.support.boosters import fit_booster
from training.families.lightgbm.adversarial_rows import adversarial_rows
from training.families.lightgbm.estimator import LightgbmEstimator
from training.families.lightgbm.model_text import Tree


def test_adversarial_rows_stand_on_both_sides_of_every_split() -> None:
    booster, rows = fit_booster(categorical=False, missing="complete", n_iterations=5)
    model = LightgbmEstimator.of(booster).model
    n_splits = sum(tree.n_splits for tree in model.trees)
    hostile = adversarial_rows(model, rows, n_rows=40 * n_splits, seed=0)
    leaves = booster.predict(hostile, pred_leaf=True).reshape(-1, 5)
    at_split = 0
    for number, tree in enumerate(model.trees):
        found = {tuple(leaves[row : row + 3, number]) for row in range(0, 5 * n_splits, 5)}
        for left, right, threshold in zip(
            tree.left_child, tree.right_child, tree.threshold, strict=True
        ):
            if abs(threshold) > 1e-34:
                left_leaves, right_leaves = leaves_under(tree, left), leaves_under(tree, right)
                assert any(
                    {below, at} <= left_leaves and above in right_leaves
                    for below, at, above in found
                )
                at_split += 1
    assert at_split > 20


def leaves_under(tree: Tree, child: int) -> set[int]:
    if child < 0:
        return {-1 - child}
    return leaves_under(tree, tree.left_child[child]) | leaves_under(tree, tree.right_child[child])


def test_equal_seeds_give_equal_adversarial_rows() -> None:
    booster, rows = fit_booster()
    first, again, other = (
        adversarial_rows(LightgbmEstimator.of(booster).model, rows, n_rows=500, seed=seed)
        for seed in (1, 1, 2)
    )
    assert first.tobytes() == again.tobytes() != other.tobytes()
