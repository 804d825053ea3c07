"""Both models: exact in ONNX, the same in every run, and better than what needs no features."""

import json
from pathlib import Path

import pytest

from tests.support.flights_project import MODELS, FlightsProject
from training.pipeline import make_dataset, make_export, make_fit
from training.project.step_files import load_evaluation
from training.project.workspace import Workspace


def ignore_progress(done: int, total: int) -> None:
    """Report to nobody."""


@pytest.mark.parametrize("model", MODELS)
def test_no_row_reaches_another_leaf(flights: FlightsProject, model: str) -> None:
    manifest = flights.manifest(model)
    parity = manifest.parity
    assert parity["n_rows"] == manifest.data.rows["test"] > 80_000
    assert int(parity["n_adversarial_rows"]) >= 30_000
    assert parity["n_rows_in_different_leaf"] == 0
    assert float(parity["max_relative_difference"]) <= 1e-9
    assert parity["model_sha256"] == manifest.model_file.sha256


def test_training_again_gives_the_same_bytes(flights: FlightsProject, tmp_path: Path) -> None:
    spec = flights.spec("arrival_delay_15")
    (tmp_path / "lake").symlink_to(flights.workspace.lake_folder)
    again = Workspace(feature_repo=flights.workspace.feature_repo, home=tmp_path)
    for step in (make_dataset, make_fit, make_export):
        step(again, spec, ignore_progress)
    first = flights.workspace.work(spec.name) / "model.onnx"
    second = again.work(spec.name) / "model.onnx"
    assert second.read_bytes() == first.read_bytes()


def test_arrival_delay_15_beats_both_baselines(flights: FlightsProject) -> None:
    evaluation = load_evaluation(flights.workspace, flights.spec("arrival_delay_15"))
    auc = evaluation.metrics["auc"]
    for baseline in ("base_rate", "request_only"):
        assert auc.low > evaluation.baselines[baseline]["auc"].high
    assert f"{auc.value:.4f} [{auc.low:.4f}," in flights.log


def test_every_metric_has_an_interval(flights: FlightsProject) -> None:
    classifier = flights.manifest("arrival_delay_15").metrics
    assert set(classifier) == {
        "auc", "log_loss", "brier", "accuracy", "precision", "recall", "f1",
    }  # fmt: skip
    regressor = flights.manifest("arrival_delay_minutes").metrics
    assert set(regressor) == {"mae", "rmse"}
    for metric in (*classifier.values(), *regressor.values()):
        assert metric.low < metric.value < metric.high


@pytest.mark.parametrize("model", MODELS)
def test_report_is_written(flights: FlightsProject, model: str) -> None:
    folder = flights.workspace.work(model)
    assert "| model | base_rate | request_only |" in (folder / "report.md").read_text()
    assert (folder / "report.svg").read_text().startswith("<?xml")
    assert json.loads((folder / "parity.json").read_text())["n_trees"] > 100
