"""Every parameter that a model may set, tried on a small table in one process.

``python -m tests.support.parameter_trials`` prints a line of JSON a trial.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from training.families.lightgbm.boosting.rounds import FitRefusedError, Rows, boost
from zeroskew.declarations.lightgbm import (
    check_columns,
    check_parameters,
    complete_parameters,
    find_problems,
)

__all__ = ["COLUMNS", "TRIALS", "Trial", "trial_rows"]

COLUMNS = ("size", "weight", "age", "shop", "rare", "noise")
TEXT = ("shop",)
BINARY: dict[str, Any] = {"objective": "binary"}
CLASSES: dict[str, Any] = {"objective": "multiclass", "num_class": 3}
BAGGED: dict[str, Any] = {"bagging_freq": 1, "bagging_fraction": 0.6}
DART: dict[str, Any] = {"boosting": "dart", "drop_rate": 0.5, "skip_drop": 0.1}
GOSS: dict[str, Any] = {"data_sample_strategy": "goss", "learning_rate": 0.5}
GROUPED: dict[str, Any] = {"min_data_per_group": 5}
MONOTONE: dict[str, Any] = {"monotone_constraints": {"size": 1, "weight": -1}}


@dataclass(frozen=True)
class Trial:
    """A parameter with a value that should make another model than ``beside`` alone."""

    name: str
    value: Any
    beside: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        """What a model would declare."""
        return {"objective": "regression", **self.beside, self.name: self.value}


TRIALS = (
    *(
        Trial("objective", objective)
        for objective in (
            *("regression_l1", "huber", "fair", "quantile", "mape", "poisson", "gamma"),
            *("tweedie", "binary", "cross_entropy", "cross_entropy_lambda"),
        )
    ),
    Trial("objective", "multiclass", {"num_class": 3}),
    Trial("objective", "multiclassova", {"num_class": 3}),
    Trial("boosting", "dart"),
    Trial("boosting", "goss", {"learning_rate": 0.5}),
    Trial("boosting", "rf", BAGGED),
    Trial("boosting", "rf", {"feature_fraction": 0.5}),
    Trial("boosting", "dart", GOSS | {"drop_rate": 0.5, "skip_drop": 0.1}),
    Trial("boosting", "dart", BAGGED),
    Trial("data_sample_strategy", "goss", {"learning_rate": 0.5}),
    Trial("learning_rate", 0.3),
    Trial("num_leaves", 5),
    Trial("max_depth", 2),
    Trial("seed", 7, BAGGED),
    Trial("metric", "l1"),
    Trial("min_data_in_leaf", 60),
    Trial("min_sum_hessian_in_leaf", 60.0),
    Trial("min_gain_to_split", 5.0),
    Trial("lambda_l1", 5.0),
    Trial("lambda_l2", 5.0),
    Trial("max_delta_step", 0.01),
    Trial("path_smooth", 5.0),
    Trial("extra_trees", True),
    Trial("extra_seed", 9, {"extra_trees": True}),
    Trial("bagging_fraction", 0.5, {"bagging_freq": 1}),
    Trial("bagging_freq", 1, {"bagging_fraction": 0.5}),
    Trial("bagging_seed", 9, BAGGED),
    Trial("bagging_seed", 9, GOSS),
    Trial("pos_bagging_fraction", 0.5, BINARY | {"bagging_freq": 1}),
    Trial("neg_bagging_fraction", 0.5, BINARY | {"bagging_freq": 1}),
    Trial("feature_fraction", 0.5),
    Trial("feature_fraction_bynode", 0.5),
    Trial("feature_fraction_seed", 9, {"feature_fraction": 0.5}),
    Trial("feature_fraction_seed", 9, {"feature_fraction_bynode": 0.5}),
    Trial("top_rate", 0.4, GOSS),
    Trial("other_rate", 0.4, GOSS),
    Trial("drop_rate", 0.05, DART),
    Trial("max_drop", 1, DART | {"drop_rate": 0.9}),
    Trial("skip_drop", 0.9, DART),
    Trial("xgboost_dart_mode", True, DART),
    Trial("uniform_drop", True, DART | {"drop_rate": 0.2, "skip_drop": 0.0}),
    Trial("drop_seed", 9, DART),
    Trial("monotone_constraints", {"size": 1, "weight": -1}),
    Trial("monotone_constraints", [0, 1, -1, 0, 0, 0], {"objective": "poisson"}),
    Trial("monotone_constraints_method", "intermediate", MONOTONE),
    Trial("monotone_constraints_method", "advanced", MONOTONE),
    Trial("monotone_penalty", 2.0, MONOTONE),
    Trial("feature_contri", {"size": 0.1}),
    Trial("interaction_constraints", [["size", "noise"], ["weight", "age", "shop", "rare"]]),
    Trial("max_bin_by_feature", {"size": 4}),
    Trial("cegb_tradeoff", 3.0, {"cegb_penalty_split": 0.01}),
    Trial("cegb_penalty_split", 0.02),
    Trial("cegb_penalty_feature_coupled", {"size": 50.0}),
    Trial("cegb_penalty_feature_lazy", {"size": 1.0}),
    Trial("min_data_per_group", 5),
    Trial("max_cat_threshold", 1, GROUPED),
    Trial("cat_l2", 100.0, GROUPED),
    Trial("cat_smooth", 100.0, GROUPED),
    Trial("max_cat_to_onehot", 30),
    Trial("max_bin", 7),
    Trial("min_data_in_bin", 40),
    Trial("bin_construct_sample_cnt", 60),
    Trial("data_random_seed", 9, {"bin_construct_sample_cnt": 60}),
    Trial("use_missing", False),
    Trial("zero_as_missing", True),
    Trial("enable_bundle", False),
    Trial("is_enable_sparse", False),
    Trial("feature_pre_filter", False),
    Trial("alpha", 0.3, {"objective": "quantile"}),
    Trial("alpha", 0.3, {"objective": "huber"}),
    Trial("alpha", 0.1, {"metric": "quantile"}),
    Trial("fair_c", 0.2, {"objective": "fair"}),
    Trial("poisson_max_delta_step", 0.1, {"objective": "poisson"}),
    Trial("tweedie_variance_power", 1.1, {"objective": "tweedie"}),
    *(
        Trial("reg_sqrt", True, {"objective": objective})
        for objective in ("regression", "regression_l1", "quantile", "mape", "fair")
    ),
    *(
        Trial("boost_from_average", False, {"objective": objective})
        for objective in (
            *("regression", "regression_l1", "huber", "fair", "quantile", "mape", "binary"),
            *("cross_entropy", "cross_entropy_lambda"),
        )
    ),
    Trial("boost_from_average", False, CLASSES),
    Trial("boost_from_average", False, CLASSES | {"objective": "multiclassova"}),
    Trial("sigmoid", 2.0, BINARY),
    Trial("sigmoid", 2.0, CLASSES | {"objective": "multiclassova"}),
    Trial("is_unbalance", True, BINARY),
    Trial("is_unbalance", True, CLASSES | {"objective": "multiclassova"}),
    Trial("scale_pos_weight", 3.0, BINARY),
    Trial("scale_pos_weight", 3.0, CLASSES | {"objective": "multiclassova"}),
    Trial("multi_error_top_k", 2, CLASSES | {"metric": "multi_error"}),
    Trial("num_threads", 2),
    Trial("histogram_pool_size", 0.01),
    Trial("device_type", "cpu"),
    Trial("tree_learner", "serial"),
    Trial("deterministic", True),
    Trial("force_row_wise", True),
    Trial("num_class", 4, CLASSES),
)  # fmt: skip


def trial_rows(parameters: dict[str, Any], n_rows: int = 400) -> Rows:
    """Return rows whose labels are what the objective takes."""
    random = np.random.default_rng(5)
    features = random.normal(size=(n_rows, len(COLUMNS)))
    features[:, 3] = random.integers(0, 12, n_rows)
    features[:, 4] = np.where(random.random(n_rows) < 0.8, 0.0, features[:, 4])
    features[random.random((n_rows, len(COLUMNS))) < 0.05] = np.nan
    size, weight, age, shop, rare, _ = np.nan_to_num(features).T
    value = size - 0.5 * weight * age + np.sin(3.0 * age) + 0.3 * (shop % 3) + rare
    value += random.standard_t(3, n_rows) * 0.3
    objective = parameters["objective"]
    if objective in ("binary", "cross_entropy", "cross_entropy_lambda"):
        labels = (value > 1.0).astype(np.float64)
    elif objective in ("multiclass", "multiclassova"):
        edges = [-0.5, 1.0, 2.5][: parameters.get("num_class", 3) - 1]
        labels = np.digitize(value, edges).astype(np.float64)
    elif objective in ("poisson", "gamma", "tweedie", "mape"):
        labels = np.exp(value / 2.0)
    else:
        labels = value
    return Rows(features.astype(np.float32), labels, n_rows * 4 // 5, (3,))


def fit_trial(parameters: dict[str, Any], n_threads: int = 1) -> dict[str, Any]:
    """Fit as the fit step does, but here, and return what tells one model from another."""
    check_parameters(parameters)
    check_columns(parameters, COLUMNS, TEXT)
    completed = complete_parameters(parameters, COLUMNS)
    completed.setdefault("min_data_in_leaf", 5)
    if parameters.get("data_sample_strategy") != "goss" != parameters.get("boosting"):
        completed["num_threads"] = n_threads
    boosted = boost(completed, trial_rows(parameters), n_rounds=10, early_stopping_rounds=4)
    return {
        "trees": boosted.text.partition("\nend of trees")[0],
        # Threads add a metric up in any order.
        "metrics": {name: f"{value:.9g}" for name, value in boosted.metrics.items()},
    }


def main() -> None:
    """Try all; what a parameter changes is seen beside a fit without it."""
    before: dict[str, dict[str, Any] | None] = {}
    for trial in TRIALS:
        said: dict[str, Any] = {"parameters": trial.parameters}
        without = {"objective": "regression", **trial.beside}
        key = json.dumps(without)
        if key not in before:
            before[key] = None if find_problems(without) else fit_trial(without)
        try:
            one = fit_trial(trial.parameters)
            said["changes"] = one != before[key]
            said["is_same_on_two_threads"] = one == fit_trial(trial.parameters, n_threads=2)
        except FitRefusedError as error:
            said["refused"] = str(error)
        sys.stdout.write(f"{json.dumps(said)}\n")


if __name__ == "__main__":
    main()
