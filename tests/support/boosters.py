"""Small LightGBM models of every kind, fitted in milliseconds."""

from __future__ import annotations

from typing import Any, Final

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from training.families.lightgbm.estimator import LightgbmEstimator
from training.fit.fit_model import FittedModel

Float32Array = npt.NDArray[np.float32]

OBJECTIVES: Final = (
    *("regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma"),
    *("tweedie", "binary", "cross_entropy", "cross_entropy_lambda", "multiclass"),
    *("multiclassova", "lambdarank", "rank_xendcg"),
)
BOOSTINGS: Final = ("gbdt", "dart", "rf", "goss")
MISSING_MODES: Final = ("complete", "nan", "zero_as_missing", "ignored")

N_FEATURES: Final = 6
CATEGORICAL: Final = (4, 5)
_GROUP_SIZE: Final = 20
_N_CLASSES: Final = 3


def make_rows(n_rows: int, *, missing: str, seed: int) -> Float32Array:
    """Return features: normal, epoch seconds, small integers, around zero, and two of codes."""
    rng = np.random.default_rng(seed)
    rows = np.column_stack(
        [
            rng.normal(size=n_rows),
            rng.uniform(1.3e9, 1.4e9, n_rows),
            rng.integers(-3, 4, n_rows),
            rng.choice([0.0, -0.0, 1e-35, -1e-35, 1e-40, 1e-3, -1e-3, 2.0], n_rows),
            rng.integers(0, 9, n_rows),
            rng.integers(0, 90, n_rows),
        ]
    ).astype(np.float32)
    if missing != "complete":
        rows[rng.random(rows.shape) < 0.15] = np.nan
        rows[rng.random(rows.shape) < 0.15] = 0.0
    return rows


def make_label(objective: str, rows: Float32Array, seed: int) -> npt.NDArray[np.float64]:
    """Return a label that depends on every feature and lies where the objective wants it."""
    rng = np.random.default_rng(seed)
    known = np.nan_to_num(rows.astype(np.float64))
    known[:, 1] = (known[:, 1] - 1.35e9) / 3e7
    latent = known[:, 0] + known[:, 1] + 0.3 * known[:, 2] + 300.0 * known[:, 3] * (known[:, 3] < 1)
    latent += np.sin(3.0 * known[:, 4]) + np.sin(known[:, 5]) + 0.3 * rng.normal(size=len(rows))
    if objective in {"binary", "cross_entropy", "cross_entropy_lambda"}:
        probability = 1.0 / (1.0 + np.exp(-latent))
        return probability if objective.startswith("cross") else (probability > 0.5).astype(float)
    if objective in {"multiclass", "multiclassova", "lambdarank", "rank_xendcg"}:
        return np.digitize(latent, [-0.7, 0.7]).astype(np.float64)
    if objective in {"poisson", "gamma", "tweedie"}:
        return np.exp(0.5 * latent)
    return latent


def fit_booster(
    objective: str = "regression",
    *,
    boosting: str = "gbdt",
    missing: str = "nan",
    categorical: bool = True,
    seed: int = 0,
    n_rows: int = 120,
    n_iterations: int = 6,
    **parameters: Any,
) -> tuple[lgb.Booster, Float32Array]:
    """Fit a model and return it with the rows it was fitted on."""
    rows = make_rows(n_rows, missing=missing, seed=seed)
    dataset = lgb.Dataset(
        rows,
        make_label(objective, rows, seed),
        group=[_GROUP_SIZE] * (n_rows // _GROUP_SIZE) if "rank" in objective else None,
        categorical_feature=list(CATEGORICAL) if categorical else [],
    )
    settings = {
        "objective": objective,
        "boosting": "gbdt" if boosting == "goss" else boosting,
        "data_sample_strategy": "goss" if boosting == "goss" else "bagging",
        "use_missing": missing != "ignored",
        "zero_as_missing": missing == "zero_as_missing",
        "num_class": _N_CLASSES if objective.startswith("multiclass") else 1,
        "bagging_freq": 0 if boosting == "goss" else 1,
        "bagging_fraction": 1.0 if boosting == "goss" else 0.8,
        "num_leaves": 8,
        "min_data_in_leaf": 3,
        "min_data_in_bin": 1,
        "min_data_per_group": 2,
        "min_sum_hessian_in_leaf": 1e-3,
        "cat_smooth": 1.0,
        "cat_l2": 1.0,
        "seed": seed,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    return lgb.train(settings | parameters, dataset, n_iterations), rows


def booster_of(model: FittedModel) -> lgb.Booster:
    """Return LightGBM's own object of a model that it fitted."""
    assert isinstance(model.estimator, LightgbmEstimator)
    return model.estimator.booster
