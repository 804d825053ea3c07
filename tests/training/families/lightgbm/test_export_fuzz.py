"""Over a thousand small models of every kind against LightGBM's own predictions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from tests.support.boosters import BOOSTINGS, MISSING_MODES, N_FEATURES, OBJECTIVES, fit_booster
from training.export.check_parity import check_parity
from training.export.export_onnx import export_onnx, serialize_model
from training.families.lightgbm.estimator import LightgbmEstimator


def settings_of(objective: str, rng: np.random.Generator) -> dict[str, object]:
    settings: dict[str, object] = {
        "num_leaves": int(rng.integers(2, 14)),
        "n_iterations": int(rng.integers(1, 9)),
        "max_cat_to_onehot": int(rng.choice([1, 4, 32])),
        "learning_rate": float(rng.choice([0.1, 0.7])),
        "extra_trees": bool(rng.random() < 0.3),
        "boost_from_average": bool(rng.random() < 0.7),
        "min_gain_to_split": float(rng.choice([0.0, 2.0])),
    }
    if objective in {"regression", "regression_l1", "fair", "quantile", "mape"}:
        settings["reg_sqrt"] = bool(rng.random() < 0.5)
    if objective in {"binary", "multiclassova"}:
        settings["sigmoid"] = float(rng.choice([0.5, 1.0, 2.25]))
    return settings


def compare_small_models(objective: str, boosting: str, trial: int = 0) -> int:
    """Fit models of every missing mode with and without categories; return how many."""
    rng = np.random.default_rng([OBJECTIVES.index(objective), BOOSTINGS.index(boosting), trial])
    kinds = list(product(MISSING_MODES, (True, False), range(3)))
    for number, (missing, categorical, _) in enumerate(kinds):
        settings = settings_of(objective, rng)
        seed = trial * len(kinds) + number
        booster, rows = fit_booster(
            objective,
            boosting=boosting,
            missing=missing,
            categorical=categorical,
            seed=seed,
            **settings,  # type: ignore[arg-type]  # They are parameters of several types.
        )
        estimator = LightgbmEstimator.of(booster)
        model = serialize_model(export_onnx(estimator, n_columns=N_FEATURES))
        report = check_parity(estimator, model, rows, n_adversarial_rows=400, seed=seed)
        assert report.n_rows_in_different_leaf == 0, (missing, categorical, settings)
    return len(kinds)


@pytest.mark.parametrize("boosting", BOOSTINGS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_small_models_equal_lightgbm(objective: str, boosting: str) -> None:
    assert compare_small_models(objective, boosting) >= 24
