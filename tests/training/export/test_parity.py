from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
import pytest

from tests.support.boosters import MISSING_MODES, N_FEATURES, Float32Array, fit_booster
from tests.support.request_functions import new_york_clock
from training.export.check_parity import ParityError, check_parity
from training.export.export_onnx import export_onnx, serialize_model
from training.families.lightgbm.estimator import LightgbmEstimator
from zeroskew.features.request_function import RequestFunction

CLOCK = RequestFunction("clock", ("departure",), ("hour", "weekday"), new_york_clock)


def exported(booster: lgb.Booster) -> onnx.ModelProto:
    return export_onnx(LightgbmEstimator.of(booster), n_columns=N_FEATURES)


def change_trees(model: onnx.ModelProto, name: str, change: Callable[[Any], Any]) -> bytes:
    """Replace one attribute of the ensemble by a changed one."""
    (trees,) = [node for node in model.graph.node if node.op_type == "TreeEnsemble"]
    (attribute,) = [one for one in trees.attribute if one.name == name]
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        changed = np.asarray(change(onnx.numpy_helper.to_array(value)))
        replaced = onnx.numpy_helper.from_array(changed, value.name)
    else:
        replaced = np.asarray(change(np.array(value))).tolist()
    trees.attribute.remove(attribute)
    trees.attribute.append(onnx.helper.make_attribute(name, replaced))
    return serialize_model(model)


def change_constant(model: onnx.ModelProto, old: float, new: float) -> bytes:
    """Replace the value of the one initializer or constant node that holds `old`."""
    nodes = [node for node in model.graph.node if node.op_type == "Constant"]
    (tensor,) = [
        tensor
        for tensor in [*model.graph.initializer, *(node.attribute[0].t for node in nodes)]
        if np.array_equal(onnx.numpy_helper.to_array(tensor), old)
    ]
    changed = np.asarray(new, onnx.numpy_helper.to_array(tensor).dtype)
    tensor.CopyFrom(onnx.numpy_helper.from_array(changed, tensor.name))
    return serialize_model(model)


def assert_caught(
    booster: lgb.Booster, model: bytes, rows: Float32Array, *, leaves_differ: bool = True
) -> ParityError:
    check_parity(LightgbmEstimator.of(booster), serialize_model(exported(booster)), rows)
    with pytest.raises(ParityError) as caught:
        check_parity(LightgbmEstimator.of(booster), model, rows)
    report = caught.value.report
    assert not report.passed
    assert (report.n_rows_in_different_leaf > 0) == leaves_differ
    assert caught.value.examples
    return caught.value


def test_report_counts_what_was_compared() -> None:
    booster, rows = fit_booster("binary", n_iterations=20)
    report = check_parity(LightgbmEstimator.of(booster), serialize_model(exported(booster)), rows)
    assert report.n_rows == 120
    assert report.n_adversarial_rows == 40_000
    assert report.n_trees == 20
    scalars = report.as_dict()
    assert scalars["passed"] is True
    assert scalars["n_rows_in_different_leaf"] == 0
    assert all(isinstance(value, int | float) for value in scalars.values())


def test_no_given_rows_are_enough_for_adversarial_ones() -> None:
    booster, rows = fit_booster()
    report = check_parity(
        LightgbmEstimator.of(booster), serialize_model(exported(booster)), rows[:0]
    )
    assert report.n_rows == 0
    assert report.n_adversarial_rows == 40_000


def test_thresholds_rounded_to_nearest_float32_are_caught() -> None:
    booster, rows = fit_booster(n_iterations=20)
    model = change_trees(
        exported(booster), "nodes_splits", lambda v: v.astype(np.float32).astype(np.float64)
    )
    assert_caught(booster, model, rows)


@pytest.mark.parametrize("missing", MISSING_MODES)
@pytest.mark.parametrize("way", [0, 1])
def test_nan_sent_one_way_is_caught(missing: str, way: int) -> None:
    booster, rows = fit_booster(missing=missing, categorical=False, n_iterations=20)
    model = change_trees(
        exported(booster), "nodes_missing_value_tracks_true", lambda v: np.full_like(v, way)
    )
    assert_caught(booster, model, rows)


def test_ignored_zeros_are_caught() -> None:
    booster, rows = fit_booster(missing="zero_as_missing", n_iterations=20)
    model = change_constant(exported(booster), float(np.float32(1e-35)), -1.0)
    assert_caught(booster, model, rows)


def test_forgotten_interval_of_zero_is_caught() -> None:
    booster, rows = fit_booster(missing="ignored", n_iterations=20)
    moved = np.nextafter(-float(np.float32(1e-35)), -np.inf)
    model = change_trees(
        exported(booster), "nodes_splits", lambda v: np.where(v == moved, -1e-36, v)
    )
    assert_caught(booster, model, rows)


def test_dropped_sigmoid_parameter_is_caught() -> None:
    booster, rows = fit_booster("binary", sigmoid=2.0)
    model = change_constant(exported(booster), -2.0, -1.0)
    error = assert_caught(booster, model, rows, leaves_differ=False)
    assert error.report.max_relative_difference > 1e-3


def test_feature_off_by_one_is_caught() -> None:
    booster, rows = fit_booster()
    model = change_trees(
        exported(booster), "nodes_featureids", lambda v: np.append((v[:1] + 1) % N_FEATURES, v[1:])
    )
    assert_caught(booster, model, rows)


def test_dropped_category_is_caught() -> None:
    booster, rows = fit_booster(n_iterations=20)
    model = change_trees(exported(booster), "membership_values", lambda v: np.append([1e6], v[1:]))
    assert_caught(booster, model, rows)


def test_leaf_rounded_to_float32_is_caught() -> None:
    booster, rows = fit_booster()
    model = change_trees(
        exported(booster), "leaf_weights", lambda v: v.astype(np.float32).astype(np.float64)
    )
    assert_caught(booster, model, rows, leaves_differ=False)


def test_swapped_leaves_are_caught() -> None:
    booster, rows = fit_booster()
    model = change_trees(
        exported(booster), "leaf_weights", lambda v: np.concatenate([v[1::-1], v[2:]])
    )
    assert_caught(booster, model, rows, leaves_differ=False)


def fit_with_clock() -> tuple[lgb.Booster, Float32Array, np.ndarray[Any, np.dtype[np.float64]]]:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 2)).astype(np.float32)
    request = rng.uniform(1.356e9, 1.388e9, (400, 1))
    clock = CLOCK.evaluate({"departure": request[:, 0]})
    matrix = np.column_stack([rows, clock["hour"], clock["weekday"]]).astype(np.float32)
    label = matrix[:, 0] + np.sin(matrix[:, 2]) + (matrix[:, 3] > 4)
    settings = {"num_threads": 1, "verbose": -1, "min_data_in_leaf": 3, "seed": 0}
    return lgb.train(settings, lgb.Dataset(matrix, label), 20), rows, request


def test_request_time_columns_are_compared() -> None:
    booster, rows, request = fit_with_clock()
    names = {"request_inputs": ["departure"], "request_functions": [CLOCK]}
    model = export_onnx(LightgbmEstimator.of(booster), n_columns=2, **names)  # type: ignore[arg-type]  # Two types.
    compared = {"request": request, **names}
    report = check_parity(LightgbmEstimator.of(booster), serialize_model(model), rows, **compared)  # type: ignore[arg-type]  # As above.
    assert report.n_adversarial_rows == 50_000
    late = change_constant(model, 3600.0, 3601.0)
    with pytest.raises(ParityError):
        check_parity(LightgbmEstimator.of(booster), late, rows, **compared)  # type: ignore[arg-type]  # As above.


def test_wrong_inputs_are_refused() -> None:
    booster, rows = fit_booster()
    model = serialize_model(exported(booster))
    with pytest.raises(ValueError, match="Got rows float64"):
        check_parity(LightgbmEstimator.of(booster), model, rows.astype(np.float64))
    with pytest.raises(ValueError, match="Got request none"):
        check_parity(LightgbmEstimator.of(booster), model, rows, request_inputs=["departure"])
