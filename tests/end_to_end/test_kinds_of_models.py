"""Classes, quantiles and counts go the whole way: declared, judged, exported, served, measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest
from sklearn import metrics as oracle

from tests.support.orders_project import (
    NOW,
    SIZES,
    OrdersService,
    ignore_progress,
    make_orders_project,
    order_spec,
    run_steps,
    serve_orders,
)
from training.dataset.build_dataset import Dataset
from training.live.live_metrics import measure_live
from training.live.logged_predictions import Span
from training.live.open_log import open_log
from training.live.outcomes import read_outcomes
from training.live.replay import replay
from training.live.simulate.simulation import prepare_simulation, simulate
from training.live.skew.find_skew import find_skew
from training.pipeline import publish
from training.project.step_files import load_evaluation
from training.project.workspace import Workspace
from zeroskew.contract.errors.project import GateError
from zeroskew.contract.manifest import Manifest, Output
from zeroskew.declarations.model_spec import Gate, ModelSpec
from zeroskew.declarations.objectives import objective_of_manifest


def spec_of(name: str, label: str, output: Output, **declared: Any) -> ModelSpec:
    parameters = {"num_leaves": 7, "learning_rate": 0.1} | declared.pop("parameters")
    return order_spec(name, label, output, parameters=parameters, n_rounds=60, **declared)


CLASSES: Final = Output(kind="probabilities", description="Size.", classes=SIZES)
MINUTES: Final = Output(kind="value", description="Wait.", unit="minutes")
SPECS: Final = {
    spec.name: spec
    for spec in (
        spec_of("size", "size", CLASSES, parameters={"objective": "multiclass"}),
        spec_of("size_by_number", "size_number", CLASSES, parameters={"objective": "softmax"}),
        spec_of(
            "wait_p80",
            "wait",
            MINUTES,
            parameters={"objective": "quantile", "alpha": 0.8},
            gates=(Gate(metric="coverage", at_least=0.7, at_most=0.9),),
        ),
        spec_of("n_items", "n_items", MINUTES, parameters={"objective": "poisson"}),
        spec_of(
            "noise",
            "noise",
            CLASSES,
            parameters={"objective": "multiclass"},
        ),
    )
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a project in which all steps of all models have run, and nothing is published."""
    workspace = make_orders_project(tmp_path_factory.mktemp("kinds"))
    for spec in SPECS.values():
        run_steps(workspace, spec)
    return workspace


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> Iterator[OrdersService]:
    for name in ("size", "size_by_number", "wait_p80", "n_items"):
        publish(workspace, SPECS[name])
    with serve_orders(workspace) as service:
        yield service


def load(workspace: Workspace, name: str) -> tuple[Dataset, lgb.Booster]:
    folder = workspace.work(name)
    return Dataset.load(folder), lgb.Booster(model_file=folder / "booster.txt")


def test_classes_are_judged_as_scikit_learn_would(workspace: Workspace) -> None:
    dataset, booster = load(workspace, "size")
    features, labels = dataset.matrix("test")
    scores = booster.predict(features)
    evaluation = load_evaluation(workspace, SPECS["size"])
    assert {name: metric.value for name, metric in evaluation.metrics.items()} == pytest.approx(
        {
            "log_loss": oracle.log_loss(labels, scores),
            "brier": ((np.eye(3)[labels.astype(int)] - scores) ** 2).sum(axis=1).mean(),
            "accuracy": oracle.accuracy_score(labels, scores.argmax(axis=1)),
            "macro_f1": oracle.f1_score(labels, scores.argmax(axis=1), average="macro"),
            "macro_auc": oracle.roc_auc_score(labels, scores, multi_class="ovr"),
        },
        rel=1e-9,
    )
    _, seen = dataset.matrix("train", "validation")
    shares = np.bincount(seen.astype(int)) / seen.size
    base = evaluation.baselines["base_rate"]
    assert base["log_loss"].value == pytest.approx(-np.log(shares)[labels.astype(int)].mean())
    assert base["macro_auc"].value == 0.5
    assert "macro_f1" in (workspace.work("size") / "report.md").read_text()


def test_a_class_by_its_name_and_by_its_number_is_one_model(workspace: Workspace) -> None:
    named, numbered = (
        (workspace.work(name) / "model.onnx").read_bytes() for name in ("size", "size_by_number")
    )
    assert named == numbered


def test_a_quantile_is_judged_by_pinball_loss_and_coverage(workspace: Workspace) -> None:
    dataset, booster = load(workspace, "wait_p80")
    features, labels = dataset.matrix("test")
    scores = booster.predict(features)
    evaluation = load_evaluation(workspace, SPECS["wait_p80"])
    pinball = oracle.mean_pinball_loss(labels, scores, alpha=0.8)
    assert evaluation.metrics["pinball"].value == pytest.approx(pinball)
    assert evaluation.metrics["coverage"].value == np.mean(labels <= scores)
    _, seen = dataset.matrix("train", "validation")
    constant = np.full(labels.size, np.quantile(seen, 0.8))
    base = oracle.mean_pinball_loss(labels, constant, alpha=0.8)
    assert evaluation.baselines["base_rate"]["pinball"].value == pytest.approx(base)
    assert evaluation.over_base_rate.value == pytest.approx(pinball - base)


def test_noise_is_not_published_unless_it_is_wanted(workspace: Workspace) -> None:
    with pytest.raises(GateError, match="noise is not good enough: got log_loss less that of base"):
        publish(workspace, SPECS["noise"])
    wanted = SPECS["noise"].model_copy(update={"must_beat_base_rate": False})
    assert publish(workspace, wanted, alias=None).version == 1


def test_classes_are_served_by_name_in_every_interface(service: OrdersService) -> None:
    dataset, booster = load(service.workspace, "size")
    answer = service.predict("size", [{"shop": "s3", "amount": 12.5}, {"shop": "?", "amount": 90}])
    online = service.client.post(
        "/v1/models/size:predict?with_features=true",
        json={"instances": [{"shop": "s3", "amount": 12.5}]},
    ).json()["features"][0]
    mood = online["shops:mood"]["value"]
    rows = {"shops__mood": [mood, np.nan], "amount": [12.5, 90.0]}
    matrix = np.array([rows[name] for name in dataset.columns], dtype=np.float32).T
    expected = booster.predict(matrix)
    for prediction, scores in zip(answer["predictions"], expected, strict=True):
        assert list(prediction["probabilities"]) == list(SIZES)
        np.testing.assert_allclose(list(prediction["probabilities"].values()), scores, rtol=1e-12)
        assert sum(prediction["probabilities"].values()) == pytest.approx(1.0)
        assert prediction["label"] == SIZES[int(scores.argmax())]
    tensors = {"name": "shop", "datatype": "BYTES", "shape": [1], "data": ["s3"]}
    amounts = {"name": "amount", "datatype": "FP64", "shape": [1], "data": [12.5]}
    outputs = service.client.post(
        "/v2/models/size/infer", json={"inputs": [tensors, amounts]}
    ).json()["outputs"]
    by_name = {one["name"]: one for one in outputs}
    first = answer["predictions"][0]
    assert by_name["probabilities"]["shape"] == [1, 3]
    assert by_name["probabilities"]["data"] == list(first["probabilities"].values())
    assert by_name["label"]["data"] == [first["label"]]
    metadata = service.client.get("/v2/models/size").json()
    shapes = {one["name"]: one["shape"] for one in metadata["outputs"]}
    assert shapes["probabilities"] == [-1, 3]


def ask_and_label(service: OrdersService, model: str, label: str) -> pl.DataFrame:
    """Ask for the orders of the last days, a request each, and say what came of them."""
    orders = pl.read_parquet(service.workspace.lake_folder / "orders/part-0.parquet").tail(60)
    for row in orders.iter_rows(named=True):
        asked = [{"shop": row["shop"], "amount": row["amount"]}]
        given = {
            "prediction_id": service.predict(model, asked)["id"],
            "row": 0,
            "value": row[label],
            "observed_at": NOW.isoformat(),
        }
        taken = service.client.post("/v1/feedback", json={"labels": [given]})
        assert taken.json()["labels"][0]["matched"], taken.text
    return orders


@pytest.mark.parametrize(("model", "label"), [("size", "size"), ("wait_p80", "wait")])
def test_what_was_served_is_measured_replayed_and_compared(
    service: OrdersService, model: str, label: str
) -> None:
    ask_and_label(service, model, label)
    workspace = service.workspace
    with open_log(workspace.database_url, workspace) as log:
        outcomes = read_outcomes(log, model, Span(), datetime.now(UTC))
        manifest = log.read_manifest(model, 1)
        (measured,) = measure_live(outcomes, {1: objective_of_manifest(manifest)}, ["version"])
        report = replay(log, model, Span(), ignore_progress)
        skew = find_skew(log, workspace.open_feature_store(), model, Span(), ignore_progress)
    assert measured.n_labelled == 60
    labelled = outcomes.drop_nulls("label")
    labels, scores = labelled["label"].to_numpy(), labelled["score"].to_numpy()
    if model == "size":
        probabilities = np.array(labelled["probabilities"].to_list())
        assert set(measured.metrics) == {"log_loss", "brier", "accuracy", "macro_f1", "macro_auc"}
        expected = oracle.log_loss(labels, probabilities)
        assert measured.metrics["log_loss"].value == pytest.approx(expected)
    else:
        assert set(measured.metrics) == {"mae", "rmse", "pinball", "coverage"}
        expected = oracle.mean_pinball_loss(labels, scores, alpha=0.8)
        assert measured.metrics["pinball"].value == pytest.approx(expected)
    assert report.n_rows >= 60
    assert report.n_differing == 0
    assert skew.n_rows >= 60
    assert skew.n_faults == 0


def test_classes_are_simulated_with_their_labels(service: OrdersService, tmp_path: Path) -> None:
    workspace, spec = service.workspace, SPECS["size_by_number"]
    simulation = prepare_simulation(workspace, tmp_path / "simulation", is_fresh=True)
    start, end = NOW - timedelta(days=3), NOW - timedelta(days=2)
    report = simulate(workspace, simulation, [spec], start, end, speed=0, progress=ignore_progress)
    orders = pl.read_parquet(workspace.lake_folder / "orders/part-0.parquet")
    asked = orders.filter(pl.col("event_timestamp").is_between(start, end, closed="left"))
    assert report.n_predictions == {spec.name: asked.height}
    with open_log(f"sqlite:///{simulation.database}", workspace) as log:
        outcomes = read_outcomes(log, spec.name, Span(), end)
    known = outcomes.drop_nulls("label").sort("time")
    expected = asked.filter(pl.col("known_at") < end).sort("event_timestamp")
    assert known["label"].to_list() == expected["size_number"].cast(pl.Float64).to_list()
    assert report.n_labels == expected.height > 10


def test_a_label_that_is_no_class_is_refused(service: OrdersService) -> None:
    prediction_id = service.predict("size", [{"shop": "s1", "amount": 1}])["id"]
    for value in ("huge", 1, True):
        label = {"prediction_id": prediction_id, "row": 0, "value": value}
        refused = service.client.post(
            "/v1/feedback", json={"labels": [label | {"observed_at": NOW.isoformat()}]}
        )
        assert refused.status_code == 422
        assert "one of ['small', 'middle', 'large']" in refused.text


def test_the_published_facts_name_objective_and_classes(service: OrdersService) -> None:
    with open_log(service.workspace.database_url, service.workspace) as log:
        manifests: dict[str, Manifest] = {
            name: log.read_manifest(name, 1) for name in ("size", "size_by_number", "wait_p80")
        }
    # An alias of LightGBM's is told by its first name.
    assert manifests["size_by_number"].objective == "multiclass"
    assert manifests["size"].output.classes == SIZES
    assert objective_of_manifest(manifests["wait_p80"]).level == 0.8
    assert json.loads(service.client.get("/openapi.json").text)["paths"]["/v1/models/size:predict"]
