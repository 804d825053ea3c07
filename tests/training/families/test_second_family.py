"""A family that this repository does not have goes the whole way by a line in the table."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from pydantic import ValidationError

from tests.support import linear_family
from tests.support.linear_family import LinearEstimator
from tests.support.model_specs import tiny_spec
from tests.support.orders_project import (
    OrdersService,
    ignore_progress,
    make_orders_project,
    order_spec,
    run_steps,
    serve_orders,
)
from training.dataset.build_dataset import Dataset
from training.export.check_parity import ParityError, check_parity
from training.export.export_onnx import export_onnx, serialize_model
from training.families.model_family import load_family
from training.pipeline import TRAINING_STEPS, publish
from training.project.step_files import load_evaluation
from training.project.workspace import Workspace
from zeroskew.contract.errors.project import GateError, StepError
from zeroskew.contract.manifest import Manifest, Output
from zeroskew.declarations.model_spec import Gate, ModelSpec
from zeroskew.records.registry.model_registry import ModelRegistry

MINUTES = Output(kind="value", description="Wait.", unit="minutes")
SQUARES = {"objective": "regression"}


@pytest.fixture(scope="module", autouse=True)
def linear() -> Iterator[None]:
    with linear_family.registered():
        yield


def wait_spec(*gates: Gate) -> ModelSpec:
    return order_spec("wait", "wait", MINUTES, family="linear", parameters=SQUARES, gates=gates)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, linear: None) -> Workspace:
    workspace = make_orders_project(tmp_path_factory.mktemp("linear"))
    run_steps(workspace, wait_spec())
    return workspace


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> Iterator[OrdersService]:
    publish(workspace, wait_spec(Gate(metric="mae", at_most=2.5)))
    with serve_orders(workspace) as service:
        yield service


def fit_by_hand(workspace: Workspace) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Return the data set, least squares' coefficients by the normal equations, and the means."""
    dataset = Dataset.load(workspace.work("wait"))
    features, labels = dataset.matrix("train", "validation")
    wide = features.astype(np.float64)
    means = np.nanmean(wide, axis=0)
    design = np.column_stack([np.where(np.isnan(wide), means, wide), np.ones(len(wide))])
    return dataset, np.linalg.solve(design.T @ design, design.T @ labels), means


def test_it_is_judged_and_held_to_numpy(workspace: Workspace) -> None:
    dataset, coefficients, means = fit_by_hand(workspace)
    features, labels = dataset.matrix("test")
    known = np.where(np.isnan(features), means, features)
    errors = np.column_stack([known, np.ones(len(known))]) @ coefficients - labels
    evaluation = load_evaluation(workspace, wait_spec())
    assert evaluation.metrics["rmse"].value == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert evaluation.over_base_rate.high < 0
    parity = json.loads((workspace.work("wait") / "parity.json").read_text())
    assert parity["passed"]
    assert parity["n_adversarial_rows"] == 40_000
    assert parity["max_relative_difference"] == parity["tolerance"] == 0.0
    assert "<svg" in (workspace.work("wait") / "report.svg").read_text()


def test_it_is_gated(workspace: Workspace) -> None:
    with pytest.raises(GateError, match="expected at most 0"):
        publish(workspace, wait_spec(Gate(metric="mae", at_most=0.5)), alias=None)


def test_its_answers_are_numpys(service: OrdersService) -> None:
    dataset, coefficients, means = fit_by_hand(service.workspace)
    instances = [{"shop": f"s{i}", "amount": 2.5 * i} for i in range(40)]
    instances.append({"shop": "nobody's", "amount": 90.0})
    answer = service.client.post(
        "/v1/models/wait:predict?with_features=true", json={"instances": instances}
    ).json()
    moods = [row["shops:mood"]["value"] for row in answer["features"]]
    assert moods[-1] is None
    given = {
        "shops__mood": np.array(moods, np.float32),
        "amount": np.array([2.5 * i for i in range(40)] + [90.0]),
    }
    matrix = np.column_stack([given[name] for name in dataset.columns]).astype(np.float32)
    values = [one["value"] for one in answer["predictions"]]
    estimator = load_family("linear").read(
        (service.workspace.work("wait") / "coefficients.json").read_bytes()
    )
    assert values == estimator.predict(matrix).tolist()
    known = np.where(np.isnan(matrix), means, matrix)
    by_hand = np.column_stack([known, np.ones(len(known))]) @ coefficients
    np.testing.assert_allclose(values, by_hand, rtol=1e-9)


def test_its_manifest_says_what_it_is(service: OrdersService) -> None:
    registry = ModelRegistry.open(service.workspace.database_url)
    version = registry.resolve_alias("wait", "champion")
    registry.close()
    content = service.workspace.open_artifacts().get(version.manifest_sha256)
    manifest = Manifest.model_validate_json(content)
    assert manifest.family == "linear"
    assert manifest.objective == "regression"
    assert "numpy" in manifest.libraries
    assert "lightgbm" not in manifest.libraries


def test_another_family_is_another_model(workspace: Workspace) -> None:
    boosted = order_spec("wait", "wait", MINUTES, parameters=SQUARES)
    with pytest.raises(StepError, match=r"Got family.* edited in the declaration of 'wait'"):
        TRAINING_STEPS[2].run(workspace, boosted, ignore_progress)


def test_a_weight_of_its_graph_that_is_off_by_a_bit_is_caught() -> None:
    estimator = LinearEstimator(1.5, (0.1, -2.0), (0.0, 3.0), (1.0, 1.0))
    rows = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    check_parity(estimator, serialize_model(export_onnx(estimator, n_columns=2)), rows)
    other = LinearEstimator(1.5, (float(np.nextafter(0.1, 1)), -2.0), (0.0, 3.0), (1.0, 1.0))
    with pytest.raises(ParityError) as caught:
        check_parity(estimator, serialize_model(export_onnx(other, n_columns=2)), rows)
    assert caught.value.report.n_trees == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "lineal"}, "Got family 'lineal', but expected one of lightgbm, linear: 'linea"),
        ({"parameters": SQUARES | {"num_leaves": 7}}, "Got num_leaves=7, but expected objective="),
        ({"n_rounds": 60}, "Got n_rounds, but expected neither: a linear model is not fitted in"),
    ],
)
def test_what_it_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    declared: dict[str, object] = {"family": "linear", "parameters": SQUARES, "output": MINUTES}
    with pytest.raises(ValidationError, match=message):
        tiny_spec(**(declared | changes))
