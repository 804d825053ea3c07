"""Every parameter of LightGBM: what it may be, or why it is not a model's to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zeroskew.declarations.lightgbm.values import (
    FRACTION,
    Choice,
    Flag,
    Groups,
    PerColumn,
    Real,
    Values,
    Whole,
)

__all__ = ["CATEGORICAL", "OWNED", "SETTABLE", "SPEED_ONLY", "Settable"]

_SEED: Final = Whole(0)
_ON_OFF: Final = Flag()
_NOT_NEGATIVE: Final = Real()
_POSITIVE: Final = Real(above=True)


@dataclass(frozen=True)
class Settable:
    """A parameter that a model may set.

    Attributes
    ----------
    values
        What it may be.
    off
        The value at which it does nothing, which is then right beside any others.
    needs
        The conditions (`zeroskew.declarations.lightgbm.conditions`) without which it has no
        effect, beside an objective that reads it.
    """

    values: Values
    off: object = None
    needs: tuple[str, ...] = ()


SETTABLE: Final[dict[str, Settable]] = {
    # What is learned and how.
    "objective": Settable(Choice(())),  # `zeroskew.declarations.objectives` reads it.
    "boosting": Settable(
        Choice(("gbdt", "dart", "rf", "goss", "gbrt", "random_forest")),
    ),
    "data_sample_strategy": Settable(Choice(("bagging", "goss"))),
    "learning_rate": Settable(Real(0.0, 2.0, above=True), needs=("boosting",)),
    "num_leaves": Settable(Whole(2, 131_072)),
    "max_depth": Settable(Whole(1, 10_000, also=-1)),
    "seed": Settable(_SEED),
    "metric": Settable(Choice(())),  # `zeroskew.declarations.lightgbm.check` reads it.
    # How a tree grows.
    "min_data_in_leaf": Settable(Whole(0)),
    "min_sum_hessian_in_leaf": Settable(_NOT_NEGATIVE),
    "min_gain_to_split": Settable(_NOT_NEGATIVE),
    "lambda_l1": Settable(_NOT_NEGATIVE),
    "lambda_l2": Settable(_NOT_NEGATIVE),
    "max_delta_step": Settable(_NOT_NEGATIVE),
    "path_smooth": Settable(_NOT_NEGATIVE, off=0, needs=("two rows a leaf",)),
    "extra_trees": Settable(_ON_OFF),
    "extra_seed": Settable(_SEED, needs=("extra_trees",)),
    # Rows and columns that are drawn.
    "bagging_fraction": Settable(FRACTION, off=1, needs=("bagging_freq", "bagging alone")),
    "bagging_freq": Settable(Whole(0), off=0, needs=("a bagging fraction",)),
    "bagging_seed": Settable(_SEED, needs=("rows drawn",)),
    "pos_bagging_fraction": Settable(FRACTION, off=1, needs=("bagging_freq",)),
    "neg_bagging_fraction": Settable(FRACTION, off=1, needs=("bagging_freq",)),
    "feature_fraction": Settable(FRACTION),
    "feature_fraction_bynode": Settable(FRACTION),
    "feature_fraction_seed": Settable(_SEED, needs=("columns drawn",)),
    "top_rate": Settable(FRACTION, needs=("goss",)),
    "other_rate": Settable(FRACTION, needs=("goss",)),
    # Trees that are left out for a while (DART).
    "drop_rate": Settable(Real(0.0, 1.0), needs=("dart",)),
    "max_drop": Settable(Whole(1, also=-1), needs=("dart",)),
    "skip_drop": Settable(Real(0.0, 1.0), needs=("dart",)),
    "xgboost_dart_mode": Settable(_ON_OFF, off=False, needs=("dart",)),
    "uniform_drop": Settable(_ON_OFF, off=False, needs=("dart",)),
    "drop_seed": Settable(_SEED, needs=("dart",)),
    # What holds for single columns.
    "monotone_constraints": Settable(PerColumn(Whole(-1, 1), 0), needs=("splits alone",)),
    "monotone_constraints_method": Settable(
        Choice(("basic", "intermediate", "advanced")), off="basic", needs=("monotone",)
    ),
    "monotone_penalty": Settable(_NOT_NEGATIVE, off=0, needs=("monotone",)),
    "feature_contri": Settable(PerColumn(_NOT_NEGATIVE, 1.0)),
    "interaction_constraints": Settable(Groups()),
    "max_bin_by_feature": Settable(PerColumn(Whole(2, 65_535), 255)),
    "cegb_tradeoff": Settable(_NOT_NEGATIVE, off=1, needs=("a cost of splits",)),
    "cegb_penalty_split": Settable(_NOT_NEGATIVE),
    "cegb_penalty_feature_coupled": Settable(PerColumn(_NOT_NEGATIVE, 0.0)),
    "cegb_penalty_feature_lazy": Settable(PerColumn(_NOT_NEGATIVE, 0.0)),
    # Categories.
    "min_data_per_group": Settable(Whole(1)),
    "max_cat_threshold": Settable(Whole(1)),
    "cat_l2": Settable(_NOT_NEGATIVE),
    "cat_smooth": Settable(_NOT_NEGATIVE),
    "max_cat_to_onehot": Settable(Whole(1)),
    # Bins.
    "max_bin": Settable(Whole(2, 65_535)),
    "min_data_in_bin": Settable(Whole(1)),
    "bin_construct_sample_cnt": Settable(Whole(1)),
    "data_random_seed": Settable(_SEED),
    "use_missing": Settable(_ON_OFF),
    "zero_as_missing": Settable(_ON_OFF, off=False, needs=("use_missing",)),
    "enable_bundle": Settable(_ON_OFF),
    "is_enable_sparse": Settable(_ON_OFF),
    "feature_pre_filter": Settable(_ON_OFF),
    # What some objectives and metrics alone read.
    "alpha": Settable(_POSITIVE),
    "fair_c": Settable(_POSITIVE),
    "poisson_max_delta_step": Settable(_POSITIVE),
    "tweedie_variance_power": Settable(Real(1.0, 2.0, below=True)),
    "reg_sqrt": Settable(_ON_OFF, off=False),
    "boost_from_average": Settable(_ON_OFF, off=True, needs=("average",)),
    "sigmoid": Settable(_POSITIVE),
    "is_unbalance": Settable(_ON_OFF, off=False),
    "scale_pos_weight": Settable(_POSITIVE, off=1),
    "num_class": Settable(Whole(2, 10_000, also=1), off=1),
    "multi_error_top_k": Settable(Whole(1), off=1, needs=("multi_error",)),
    # How fast it goes.
    "num_threads": Settable(Whole(1, 256), off=1, needs=("no goss",)),
    "histogram_pool_size": Settable(_POSITIVE),
    "device_type": Settable(Choice(("cpu",))),
    "tree_learner": Settable(Choice(("serial",))),
    "deterministic": Settable(Flag(only=True)),
    "force_row_wise": Settable(Flag(only=True)),
}

CATEGORICAL: Final = frozenset(
    {"min_data_per_group", "max_cat_threshold", "cat_l2", "cat_smooth", "max_cat_to_onehot"}
)
"""What only a column of text gives an effect to."""

SPEED_ONLY: Final = frozenset(
    {
        "deterministic",
        "device_type",
        "enable_bundle",
        "feature_pre_filter",
        "force_row_wise",
        "histogram_pool_size",
        "is_enable_sparse",
        "num_threads",
        "tree_learner",
    }
)
"""What makes no other model, or only one that differs in the last bit."""

_ROUNDS: Final = "n_rounds of the ModelSpec: rounds are said in one place"
_STOPPING: Final = "early_stopping_rounds of the ModelSpec: rounds are said in one place"
_THREADS: Final = "none: it gives other trees with another number of threads"
_RANKING: Final = "none: it is for ranking within groups, which rows here have not"
_FILES: Final = "none: a model learns from its feature service and label table, not from files"
_PREDICTING: Final = "none: a model is served as ONNX, not by LightGBM's predict"
_NETWORK: Final = "none: a model is fitted on one machine"
_DEVICE: Final = "none: models are fitted on the CPU, where the trees are the same every time"
_LINEAR: Final = "none: linear trees cannot be exported"
_PRINTING: Final = "none: LightGBM's warnings are always shown, and progress is"

OWNED: Final[dict[str, str]] = (
    {
        "num_iterations": _ROUNDS,
        "early_stopping_round": _STOPPING,
        "early_stopping_min_delta": _STOPPING,
        "first_metric_only": "none: the first entry of metric alone chooses the rounds",
        "is_provide_training_metric": "none: rounds are chosen on the validation span",
        "force_col_wise": "none: histograms are built row by row (force_row_wise)",
        "categorical_feature": "none: columns of text are categories",
        "task": "none: fitting is the task",
        "use_quantized_grad": _THREADS,
        "num_grad_quant_bins": _THREADS,
        "quant_train_renew_leaf": _THREADS,
        "stochastic_rounding": _THREADS,
        "linear_tree": _LINEAR,
        "linear_lambda": _LINEAR,
        "refit_decay_rate": "none: a model is fitted anew, not refitted",
        "top_k": _NETWORK,
        "auc_mu_weights": "none: auc_mu weighs all classes alike here",
        "saved_feature_importance_type": "none: reports show each column's share of the gain",
    }
    | dict.fromkeys(("verbosity", "metric_freq"), _PRINTING)
    | dict.fromkeys(
        (
            "bagging_by_query",
            "eval_at",
            "label_gain",
            "lambdarank_norm",
            "lambdarank_position_bias_regularization",
            "lambdarank_truncation_level",
            "objective_seed",
        ),
        _RANKING,
    )
    | dict.fromkeys(
        (
            "config",
            "convert_model",
            "convert_model_language",
            "data",
            "forcedbins_filename",
            "forcedsplits_filename",
            "group_column",
            "header",
            "ignore_column",
            "input_model",
            "label_column",
            "output_model",
            "output_result",
            "parser_config_file",
            "pre_partition",
            "precise_float_parser",
            "save_binary",
            "snapshot_freq",
            "two_round",
            "valid",
            "weight_column",
        ),
        _FILES,
    )
    | dict.fromkeys(
        (
            "num_iteration_predict",
            "pred_early_stop",
            "pred_early_stop_freq",
            "pred_early_stop_margin",
            "predict_contrib",
            "predict_disable_shape_check",
            "predict_leaf_index",
            "predict_raw_score",
            "start_iteration_predict",
        ),
        _PREDICTING,
    )
    | dict.fromkeys(
        ("local_listen_port", "machine_list_filename", "machines", "num_machines", "time_out"),
        _NETWORK,
    )
    | dict.fromkeys(
        ("gpu_device_id", "gpu_device_id_list", "gpu_platform_id", "gpu_use_dp", "num_gpu"), _DEVICE
    )
)
"""What Zeroskew says itself, or has no use for: what is expected instead."""
