"""Which of LightGBM's parameters a model may set, against the installed LightGBM."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from typing import Any

import lightgbm as lgb
import pytest

from tests.support.model_specs import tiny_spec
from zeroskew.contract.errors.project import SpecError
from zeroskew.declarations.lightgbm import (
    check_columns,
    check_parameters,
    complete_parameters,
    find_problems,
)
from zeroskew.declarations.lightgbm.names import PARAMETERS
from zeroskew.declarations.lightgbm.table import OWNED, SETTABLE

REGRESSION = {"objective": "regression"}
BINARY = {"objective": "binary"}
COLUMNS = ("shop__spent", "shop__visits", "city")


def lightgbm_aliases() -> dict[str, list[str]]:
    text, length = ctypes.create_string_buffer(1 << 20), ctypes.c_int64()
    lgb.basic._LIB.LGBM_DumpParamAliases(ctypes.c_int64(len(text)), ctypes.byref(length), text)
    found: dict[str, list[str]] = json.loads(text.value)
    return found


def test_every_parameter_of_lightgbm_is_known_once() -> None:
    assert {name: sorted(aliases) for name, aliases in PARAMETERS.items()} == {
        name: sorted(aliases) for name, aliases in lightgbm_aliases().items()
    }
    assert set(SETTABLE) | set(OWNED) == set(PARAMETERS)
    assert not set(SETTABLE) & set(OWNED)


def test_checking_does_not_import_lightgbm() -> None:
    code = "import sys, zeroskew.declarations.lightgbm; sys.exit('lightgbm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(OWNED))
def test_what_is_not_a_models_to_say_is_refused_under_every_name(name: str) -> None:
    for alias in (name, *PARAMETERS[name]):
        (problem,) = find_problems(REGRESSION | {alias: 1})
        assert problem.startswith(f"Got parameter {alias!r}")
        assert problem.endswith(f", but expected {OWNED[name]}")
        assert len(problem) < 200


@pytest.mark.parametrize("alias", ["n_estimators", "num_boost_round", "num_trees", "nrounds"])
def test_rounds_are_said_in_one_place(alias: str) -> None:
    with pytest.raises(ValueError, match=f"Got parameter '{alias}'.* expected n_rounds of the"):
        tiny_spec(parameters=BINARY | {alias: 400})


@pytest.mark.parametrize(
    ("mistyped", "nearest"),
    [
        ("num_leafs", "num_leaves"),
        ("NUM_LEAVES", "num_leaves"),
        ("learning-rate", "learning_rate"),
        ("lambda_12", "lambda_l2"),
        ("min_child_sample", "min_data_in_leaf"),
        ("baging_fraction", "bagging_fraction"),
        ("colsample_by_tree", "feature_fraction"),
    ],
)
def test_mistyped_name_is_refused_with_the_nearest(mistyped: str, nearest: str) -> None:
    assert find_problems(REGRESSION | {mistyped: 1}) == [
        f"Got parameter {mistyped!r}, but expected one that LightGBM knows: {nearest!r}?"
    ]


def test_name_like_no_other_is_refused() -> None:
    assert find_problems(REGRESSION | {"zzz": 1}) == [
        "Got parameter 'zzz', but expected one that LightGBM knows"
    ]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("num_leaves", 1, "a whole number from 2 to 131,072"),
        ("num_leaves", 31.0, "a whole number from 2 to 131,072"),
        ("num_leaves", "31", "a whole number from 2 to 131,072"),
        ("num_leaves", True, "a whole number from 2 to 131,072"),
        ("num_leaves", None, "a whole number from 2 to 131,072"),
        ("num_leaves", 2**40, "a whole number from 2 to 131,072"),
        ("max_depth", 0, "a whole number from 1 to 10,000, or -1"),
        ("learning_rate", 0, "a number above 0 and at most 2"),
        ("learning_rate", float("nan"), "a number above 0 and at most 2"),
        ("learning_rate", "0.1", "a number above 0 and at most 2"),
        ("lambda_l2", float("inf"), "a number of at least 0 and at most 1e+30"),
        ("lambda_l2", -1, "a number of at least 0 and at most 1e+30"),
        ("lambda_l2", [1], "a number of at least 0 and at most 1e+30"),
        ("feature_fraction", 1.1, "a number above 0 and at most 1"),
        ("extra_trees", 1, "True or False"),
        ("extra_trees", "true", "True or False"),
        ("deterministic", False, "True"),
        ("device", "gpu", "'cpu'"),
        ("boosting", "GBDT", "one of ['gbdt', 'dart', 'rf', 'goss', 'gbrt', 'random_forest']"),
        ("mc", [2], "a list, one entry a column, or {column: value}, each a whole number "
         "from -1 to 1"),
        ("mc", "1,0", "a list, one entry a column, or {column: value}, each a whole number "
         "from -1 to 1"),
        ("mc", [], "a list, one entry a column, or {column: value}, each a whole number "
         "from -1 to 1"),
        ("interaction_constraints", "[0,1]", "lists of columns, such as [['a', 'b'], ['c']]"),
        ("interaction_constraints", [0, 1], "lists of columns, such as [['a', 'b'], ['c']]"),
    ],
)  # fmt: skip
def test_value_is_refused_with_what_it_may_be(name: str, value: Any, expected: str) -> None:
    assert find_problems(REGRESSION | {name: value}) == [
        f"Got {name}={value!r}, but expected {expected}"
    ]


def test_long_value_is_cut() -> None:
    (problem,) = find_problems(REGRESSION | {"num_leaves": "3" * 500})
    assert len(problem) < 200


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (REGRESSION | {"bagging_fraction": 0.5}, "bagging_freq of 1 or more"),
        (REGRESSION | {"bagging_freq": 1}, "bagging_fraction below 1"),
        (REGRESSION | {"subsample": 0.5, "boosting": "goss"}, "no goss"),
        (REGRESSION | {"bagging_seed": 3}, "rows to be drawn"),
        (REGRESSION | {"alpha": 0.9}, "objective 'huber' or 'quantile'"),
        (REGRESSION | {"drop_rate": 0.2}, "boosting='dart'"),
        (REGRESSION | {"top_rate": 0.2}, "data_sample_strategy='goss'"),
        (REGRESSION | {"scale_pos_weight": 2.0}, "objective 'binary'"),
        (REGRESSION | {"is_unbalance": True}, "objective 'binary'"),
        (BINARY | {"num_class": 3}, "objective 'multiclass'"),
        (BINARY | {"reg_sqrt": True}, "objective 'regression'"),
        (REGRESSION | {"monotone_penalty": 1.0}, "monotone_constraints"),
        (REGRESSION | {"extra_seed": 1}, "extra_trees"),
        (REGRESSION | {"path_smooth": 1.0, "min_data_in_leaf": 1}, "min_data_in_leaf of 2"),
        (REGRESSION | {"zero_as_missing": True, "use_missing": False}, "use_missing=True"),
        ({"objective": "poisson", "boost_from_average": False}, "starts from a mean"),
        ({"objective": "mae", "monotone_constraints": [1]}, "computed anew"),
        (BINARY | {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5, "eta": 0.1},
         "count alike"),
        (BINARY | {"pos_bagging_fraction": 0.5, "bagging_freq": 1, "bagging_fraction": 0.5},
         "replace it"),
        (REGRESSION | {"boosting": "goss", "num_threads": 2}, "1 with goss"),
    ],
)  # fmt: skip
def test_value_without_effect_beside_the_others_is_refused(
    parameters: dict[str, Any], said: str
) -> None:
    problems = find_problems(parameters)
    assert len(problems) == 1, problems
    assert " without effect, but expected " in problems[0]
    assert said in problems[0]
    assert len(problems[0]) < 200


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (REGRESSION | {"loss": "mse"}, "Got objective and loss, but expected one of them"),
        (REGRESSION | {"max_leaves": 7, "num_leaves": 7}, "both are num_leaves"),
        (REGRESSION | {"metric": None}, "Got metric=None, but expected a metric of LightGBM's"),
        (REGRESSION | {"metric": "None"}, "by which validation chooses the rounds"),
        (REGRESSION | {"metric": "custom"}, "by which validation chooses the rounds"),
        (REGRESSION | {"metric": ""}, "by which validation chooses the rounds"),
        (REGRESSION | {"metric": []}, "by which validation chooses the rounds"),
        (REGRESSION | {"metric": ["l1", "l3"]}, "Got metric='l3'"),
        (REGRESSION | {"metric": "auc"}, "Got metric 'auc' with objective 'regression'"),
        (BINARY | {"metric": "multi_logloss"}, "Got metric 'multi_logloss'"),
        (BINARY | {"metric": "ndcg"}, "Got metric 'ndcg'"),
        (REGRESSION | {"boosting": "rf"}, "all trees would be one"),
        (REGRESSION | {"boosting": "rf", "data_sample_strategy": "goss"}, "rf' with goss"),
        (REGRESSION | {"boosting": "goss", "top_rate": 0.8, "other_rate": 0.4}, "at most 1"),
        (REGRESSION | {"boosting": "goss", "data_sample_strategy": "bagging"}, "one of them"),
        (BINARY | {"is_unbalance": True, "scale_pos_weight": 2.0}, "both weigh classes"),
    ],
)
def test_contradiction_is_refused(parameters: dict[str, Any], said: str) -> None:
    problems = find_problems(parameters)
    assert len(problems) == 1, problems
    assert said in problems[0]
    assert len(problems[0]) < 200


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SpecError, match=r"num_leafs.*; Got parameter 'n_estimators'"):
        check_parameters(REGRESSION | {"num_leafs": 3, "n_estimators": 3})


@pytest.mark.parametrize(
    "parameters",
    [
        {"objective": "mse", "max_leaves": 7, "eta": 0.1, "n_jobs": 2, "random_state": 1},
        {"application": "mae", "metric": "rmse,mae", "subsample": 1.0, "bagging_freq": 0},
        BINARY | {"metric": ("auc", "binary_logloss"), "scale_pos_weight": 1, "device": "cpu"},
        REGRESSION | {"metric": "quantile", "alpha": 0.2, "deterministic": True},
        REGRESSION | {"monotone_constraints": {"city": 1}, "mc_method": "advanced"},
    ],
)
def test_what_has_an_effect_or_is_off_passes(parameters: dict[str, Any]) -> None:
    check_parameters(parameters)


@pytest.mark.parametrize(
    ("parameters", "text", "said"),
    [
        ({"mc": [1, 0]}, (), "Got 2 entries of monotone_constraints, but expected 3"),
        ({"mc": {"spent": 1}}, (), "of column 'spent', but expected one of the model's: "
         "'shop__spent'?"),
        ({"mc": {"city": 1}}, ("city",), "of 'city', but expected a column of numbers"),
        ({"mc": [0, 0, -1]}, ("city",), "of 'city', but expected a column of numbers"),
        ({"fc": [1.0] * 4}, (), "Got 4 entries of feature_contri, but expected 3"),
        ({"max_bin_by_feature": {"zzz": 7}}, (), "of column 'zzz'"),
        ({"interaction_constraints": [["city", "shop__spent"]]}, (), "without column "
         "'shop__visits', but expected all"),
        ({"interaction_constraints": [[0, 1, 2, 3]]}, (), "of column 3"),
        ({"interaction_constraints": [["city"], ["spend"]]}, (), "of column 'spend'"),
        ({"cat_smooth": 3.0}, (), "Got cat_smooth without effect"),
    ],
)  # fmt: skip
def test_what_is_said_of_columns_must_fit_them(
    parameters: dict[str, Any], text: tuple[str, ...], said: str
) -> None:
    check_parameters(REGRESSION | parameters)
    with pytest.raises(SpecError) as error:
        check_columns(REGRESSION | parameters, COLUMNS, text)
    assert said in str(error.value)
    assert len(str(error.value)) < 200


def test_lightgbm_is_given_its_own_names_and_numbers_of_columns() -> None:
    given = complete_parameters(
        {
            "application": "mse",
            "max_leaves": 7,
            "metric": "mae, rmse,l1",
            "mc": {"city": -1},
            "max_bins": 63,
            "max_bin_by_feature": {"shop__spent": 7},
            "interaction_constraints": (("city", 0), ["shop__visits"]),
            "boosting": "goss",
        },
        COLUMNS,
    )
    assert {name: given[name] for name in given if name not in ("seed", "verbosity")} == {
        "objective": "regression",
        "num_leaves": 7,
        "metric": ["l1", "rmse"],
        "monotone_constraints": [0, 0, -1],
        "max_bin": 63,
        "max_bin_by_feature": [7, 63, 63],
        "interaction_constraints": [[2, 0], [1]],
        "boosting": "gbdt",
        "data_sample_strategy": "goss",
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
    }
