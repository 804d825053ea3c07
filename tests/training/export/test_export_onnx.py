from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pytest

from tests.support.boosters import N_FEATURES, fit_booster, make_label, make_rows
from tests.support.request_functions import new_york_clock
from training.export.check_parity import check_parity
from training.export.export_onnx import export_onnx, serialize_model
from training.families.lightgbm.estimator import LightgbmEstimator
from training.families.lightgbm.model_text import ModelTextError, parse_model_text
from training.families.model_family import ExportError
from zeroskew.features.onnx_graph import open_session
from zeroskew.features.request_function import RequestFunction

CLOCK = RequestFunction("clock", ("departure",), ("hour", "weekday"), new_york_clock)

NONE, ZERO, NAN = 0, 4, 8
LEFT, CATEGORICAL = 2, 1
TINY = float(np.float32(1e-35))

HEADER = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=0
objective={objective}
feature_names=x
feature_infos=none
tree_sizes=1

"""
STUMP = """Tree=0
num_leaves=2
num_cat={num_cat}
split_feature=0
split_gain=1
threshold={threshold!r}
decision_type={decision_type}
left_child=-1
right_child=-2
leaf_value=1 2
{categories}is_linear=0
shrinkage=1


end of trees
"""
CONSTANT = """Tree=0
num_leaves=1
num_cat=0
split_feature=
split_gain=
threshold=
decision_type=
left_child=
right_child=
leaf_value={value!r}
is_linear=0
shrinkage=1


end of trees
"""


def stump(threshold: float, decision_type: int, *, categories: int = 0) -> str:
    """Return the text of one split of one feature: 1 on the left, 2 on the right."""
    sets = f"cat_boundaries=0 1\ncat_threshold={categories}\n" if categories else ""
    return HEADER.format(objective="regression") + STUMP.format(
        threshold=threshold,
        decision_type=decision_type,
        num_cat=int(bool(categories)),
        categories=sets,
    )


def constant(objective: str, value: float) -> str:
    return HEADER.format(objective=objective) + CONSTANT.format(value=value)


def predict(text: str, *values: float) -> list[float]:
    """Run the export of a model of one feature, which must agree with LightGBM."""
    session = open_session(serialize_model(export_onnx(LightgbmEstimator(text), n_columns=1)))
    rows = np.array(values, np.float32)[:, None]
    (scores,) = session.run(None, {"features": rows})
    assert scores.tolist() == lgb.Booster(model_str=text).predict(rows).tolist()
    result: list[float] = scores.tolist()
    return result


def test_numbers_up_to_the_threshold_go_left() -> None:
    between = 0.5 + 1e-12
    above = np.nextafter(np.float32(0.5), np.float32(1))
    values = [-math.inf, -1.0, 0.5, above, math.inf]
    assert predict(stump(between, NAN), *values) == [1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("threshold", "decision_type", "side"),
    [
        (-1.0, NONE, 2),
        (-1.0, NONE | LEFT, 2),
        (1.0, NONE, 1),
        (0.0, NONE, 1),
        (1.0, NAN, 2),
        (-1.0, NAN | LEFT, 1),
        (1.0, ZERO, 2),
        (-1.0, ZERO | LEFT, 1),
    ],
)
def test_nan_goes_where_the_missing_type_sends_it(
    threshold: float, decision_type: int, side: int
) -> None:
    assert predict(stump(threshold, decision_type), math.nan) == [side]


@pytest.mark.parametrize(("decision_type", "side"), [(ZERO, 2), (ZERO | LEFT, 1)])
def test_zeros_go_the_default_way_where_zero_is_missing(decision_type: int, side: int) -> None:
    values = [0.0, -0.0, 1e-45, -1e-45, TINY, -TINY]
    threshold = 1.0 if side == 2 else -1.0
    assert predict(stump(threshold, decision_type), *values) == [side] * 6


def test_numbers_beyond_the_interval_of_zero_are_not_missing() -> None:
    beyond = np.nextafter(np.float32(1e-35), np.float32(1))
    assert predict(stump(1.0, ZERO), beyond, -beyond) == [1, 1]


@pytest.mark.parametrize(
    ("threshold", "sides"),
    [(-TINY, [1, 2, 2, 2, 2]), (-1e-40, [1, 2, 2, 2, 2]), (1e-40, [1, 1, 1, 1, 2])],
)
def test_the_interval_of_zero_is_zero(threshold: float, sides: list[int]) -> None:
    beyond = np.nextafter(np.float32(1e-35), np.float32(1))
    assert predict(stump(threshold, NAN), -beyond, -TINY, 0.0, TINY, beyond) == sides


def test_codes_are_cut_off_towards_zero() -> None:
    of_0_and_3 = 0b1001
    values = [0.0, 3.0, 3.9, 0.5, -0.5, -0.999, 1.0, 4.0, -1.0]
    sides = [1, 1, 1, 1, 1, 1, 2, 2, 2]
    assert predict(stump(0.0, CATEGORICAL, categories=of_0_and_3), *values) == sides


def test_no_code_at_all_goes_right() -> None:
    values = [math.nan, math.inf, -math.inf, 2.0**31, 2.0**32, 1e30, -1e30, 40.0]
    assert predict(stump(0.0, CATEGORICAL, categories=1), *values) == [2] * 8


@pytest.mark.parametrize(
    ("objective", "raw", "score"),
    [
        ("regression", -3.0, -3.0),
        ("regression sqrt", -3.0, -9.0),
        ("poisson", 2.0, math.exp(2.0)),
        ("binary sigmoid:1", -50.0, math.exp(-50.0)),
        ("binary sigmoid:2", 0.5, 1 / (1 + math.exp(-1.0))),
        ("cross_entropy", 1.0, 1 / (1 + math.exp(-1.0))),
        ("cross_entropy_lambda", -40.0, math.exp(-40.0)),
        ("cross_entropy_lambda", 1e-3, math.log1p(math.exp(1e-3))),
        ("cross_entropy_lambda", 100.0, 100.0),
        ("cross_entropy_lambda", 700.0, 700.0),
        ("lambdarank", -2.5, -2.5),
    ],
)
def test_objectives_transform_the_sum_of_leaves(objective: str, raw: float, score: float) -> None:
    model = serialize_model(export_onnx(LightgbmEstimator(constant(objective, raw)), n_columns=1))
    (scores,) = open_session(model).run(None, {"features": np.zeros((3, 1), np.float32)})
    assert scores.tolist() == pytest.approx([score] * 3, rel=1e-14, abs=0.0)


def test_graph_keeps_its_contract() -> None:
    booster, rows = fit_booster()
    model = export_onnx(LightgbmEstimator.of(booster), n_columns=N_FEATURES)
    assert [(one.domain, one.version) for one in model.opset_import] == [
        ("", 21),
        ("ai.onnx.ml", 5),
    ]
    assert model.ir_version == 10
    assert not model.functions
    session = open_session(serialize_model(model))
    (features,) = session.get_inputs()
    (scores,) = session.get_outputs()
    assert (features.name, features.type, features.shape) == (
        "features",
        "tensor(float)",
        ["n", N_FEATURES],
    )
    assert (scores.name, scores.type, scores.shape) == ("scores", "tensor(double)", ["n"])
    for n_rows in (0, 1, 7):
        assert session.run(None, {"features": rows[:n_rows]})[0].shape == (n_rows,)


def test_multiclass_scores_have_a_column_a_class() -> None:
    booster, rows = fit_booster("multiclass")
    session = open_session(
        serialize_model(export_onnx(LightgbmEstimator.of(booster), n_columns=N_FEATURES))
    )
    assert session.get_outputs()[0].shape == ["n", 3]
    (scores,) = session.run(None, {"features": rows})
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, rtol=1e-14)


def test_early_stopped_boosters_give_their_best_iteration() -> None:
    rows = make_rows(400, missing="nan", seed=0)
    label = make_label("binary", rows, 0)
    train, held_out = lgb.Dataset(rows[:100], label[:100]), lgb.Dataset(rows[100:], label[100:])
    booster = lgb.train(
        {"objective": "binary", "num_threads": 1, "verbose": -1, "learning_rate": 0.5},
        train,
        100,
        valid_sets=[held_out],
        callbacks=[lgb.early_stopping(10, verbose=False)],
        keep_training_booster=True,
    )
    assert 0 < booster.best_iteration < booster.current_iteration()
    model = serialize_model(export_onnx(LightgbmEstimator.of(booster), n_columns=N_FEATURES))
    assert (
        check_parity(LightgbmEstimator.of(booster), model, rows).n_trees == booster.best_iteration
    )


def test_trees_trained_on_with_another_missing_type_read_their_own_form() -> None:
    first, rows = fit_booster(missing="nan", categorical=False)
    second = lgb.train(
        {"zero_as_missing": True, "num_threads": 1, "verbose": -1, "min_data_in_leaf": 3},
        lgb.Dataset(rows, make_label("regression", rows, 0), categorical_feature=[4, 5]),
        4,
        init_model=first,
    )
    missing_types = {
        int(kind)
        for tree in parse_model_text(second.model_to_string()).trees
        for kind in tree.missing_type[tree.split_feature == 0]
    }
    assert missing_types == {1, 2}
    check_parity(
        LightgbmEstimator.of(second),
        serialize_model(export_onnx(LightgbmEstimator.of(second), n_columns=N_FEATURES)),
        rows,
    )


def test_constant_trees_among_others_count() -> None:
    booster, rows = fit_booster("multiclass", n_iterations=12, min_gain_to_split=12.0)
    sizes = {tree.n_splits for tree in parse_model_text(booster.model_to_string()).trees}
    assert 0 in sizes
    assert len(sizes) > 1
    check_parity(
        LightgbmEstimator.of(booster),
        serialize_model(export_onnx(LightgbmEstimator.of(booster), n_columns=N_FEATURES)),
        rows,
    )


TRAIN_AND_HASH = """
import hashlib
from tests.support.boosters import N_FEATURES, fit_booster
from training.export.export_onnx import export_onnx, serialize_model
from training.families.lightgbm.estimator import LightgbmEstimator
estimator = LightgbmEstimator.of(fit_booster("binary", n_iterations=30)[0])
print(hashlib.sha256(serialize_model(export_onnx(estimator, n_columns=N_FEATURES))).hexdigest())
"""


def test_two_runs_give_the_same_bytes(pytestconfig: pytest.Config) -> None:
    booster, _ = fit_booster("binary", n_iterations=30)
    here = hashlib.sha256(
        serialize_model(export_onnx(LightgbmEstimator.of(booster), n_columns=N_FEATURES))
    ).hexdigest()
    there = subprocess.run(
        [sys.executable, "-c", TRAIN_AND_HASH],
        cwd=pytestconfig.rootpath,
        env={"PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert there.stdout.strip() == here


def test_request_time_columns_stand_behind_the_features() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 2)).astype(np.float32)
    request = np.column_stack([rng.normal(size=300), rng.uniform(1.356e9, 1.388e9, 300)])
    clock = CLOCK.evaluate({"departure": request[:, 1]})
    matrix = np.column_stack([rows, clock["hour"], clock["weekday"]]).astype(np.float32)
    booster = lgb.train(
        {"num_threads": 1, "verbose": -1},
        lgb.Dataset(matrix, matrix[:, 0] + matrix[:, 2] - 3 * matrix[:, 3]),
        10,
    )
    model, again = (
        serialize_model(
            export_onnx(
                LightgbmEstimator.of(booster),
                n_columns=2,
                request_inputs=["distance", "departure"],
                request_functions=[CLOCK],
            )
        )
        for _ in range(2)
    )
    assert model == again
    session = open_session(model)
    _, second_input = session.get_inputs()
    assert (second_input.name, second_input.type, second_input.shape) == (
        "request",
        "tensor(double)",
        ["n", 2],
    )
    scores, computed = session.run(
        ["scores", "request_features"], {"features": rows, "request": request}
    )
    np.testing.assert_array_equal(computed, matrix[:, 2:])
    expected: npt.NDArray[np.float64] = np.asarray(booster.predict(matrix))
    np.testing.assert_allclose(scores, expected, rtol=1e-13)


def test_linear_trees_are_refused() -> None:
    booster, _ = fit_booster(categorical=False, linear_tree=True)
    with pytest.raises(ModelTextError, match="linear_tree"):
        export_onnx(LightgbmEstimator.of(booster), n_columns=N_FEATURES)


def test_custom_objectives_are_refused() -> None:
    def squared_error(
        scores: npt.NDArray[np.float64], dataset: lgb.Dataset
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return scores - np.asarray(dataset.get_label()), np.ones_like(scores)

    rows = make_rows(60, missing="nan", seed=0)
    dataset = lgb.Dataset(rows, make_label("regression", rows, 0))
    booster = lgb.train({"objective": squared_error, "verbose": -1, "num_threads": 1}, dataset, 2)
    with pytest.raises(ExportError, match="custom objective"):
        export_onnx(LightgbmEstimator.of(booster), n_columns=N_FEATURES)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("hinge", "Got objective 'hinge'"),
        ("regression alpha:2", r"Got options \['alpha'\] of objective 'regression'"),
        ("multiclass num_class:3", "Got 1 trees an iteration"),
    ],
)
def test_unknown_objectives_are_refused(objective: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        export_onnx(LightgbmEstimator(constant(objective, 1.0)), n_columns=1)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_texts_are_refused(share: float) -> None:
    text = fit_booster(n_iterations=20)[0].model_to_string().partition("end of trees")[0]
    with pytest.raises(ModelTextError, match="end of trees"):
        export_onnx(LightgbmEstimator(text[: int(share * len(text))]), n_columns=N_FEATURES)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version=v4", "version=v5", "version 'v5'"),
        ("right_child=-2", "right_child=-1", "binary tree"),
        ("left_child=-1", "left_child=0", "binary tree"),
        ("split_feature=0", "split_feature=1", "beyond 1 features"),
        ("threshold=0.5", "threshold=nan", "NaN threshold"),
        ("threshold=0.5", "threshold=0.5 0.5", "Got 2 numbers in 'threshold'"),
        ("threshold=0.5", "threshold=half", "in 'threshold'"),
        ("leaf_value=1 2", "leaf_value=1", "Got 1 numbers in 'leaf_value'"),
        ("leaf_value=1 2", "leaf_value=1 inf", "non-finite leaf"),
        ("decision_type=8", "decision_type=12", "unknown missing type"),
        ("decision_type=8", "decision_type=1", "Got 0 numbers in 'cat_boundaries'"),
        ("Tree=0", "Tree=1", "Got number 1"),
        ("tree_sizes=1", "tree_sizes=1 1", "Got 1 trees of 2"),
    ],
)
def test_malformed_texts_are_refused(old: str, new: str, message: str) -> None:
    text = stump(0.5, NAN)
    assert old in text
    with pytest.raises(ModelTextError, match=message):
        export_onnx(LightgbmEstimator(text.replace(old, new)), n_columns=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_columns": 5}, "Got 5 columns and 0 request-time columns, but expected 6"),
        ({"n_columns": 0}, "Got n_columns=0"),
        ({"n_columns": 4, "request_functions": [CLOCK]}, "expected both or neither"),
        ({"n_columns": 6, "request_inputs": ["departure"]}, "expected both or neither"),
        (
            {"n_columns": 4, "request_inputs": ["arrival"], "request_functions": [CLOCK]},
            r"Got inputs \['departure'\] of request-time function 'clock'",
        ),
    ],
)
def test_columns_that_do_not_add_up_are_refused(arguments: dict[str, Any], message: str) -> None:
    booster, _ = fit_booster()
    with pytest.raises(ExportError, match=message):
        export_onnx(LightgbmEstimator.of(booster), **arguments)
