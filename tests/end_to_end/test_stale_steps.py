"""Nothing is published that was put together from different runs of the steps."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.support.flights_project import FlightsProject
from training.pipeline import make_parity, publish
from training.project.workspace import Workspace
from zeroskew.contract.errors.project import StepError

MODEL = "arrival_delay_15"


@pytest.fixture
def trained(flights: FlightsProject, tmp_path: Path) -> Workspace:
    """Copy what the training steps left to a workspace with a registry of its own."""
    workspace = Workspace(
        feature_repo=flights.workspace.feature_repo,
        models=flights.workspace.models,
        home=tmp_path,
    )
    shutil.copytree(flights.workspace.work(MODEL), workspace.work(MODEL), dirs_exist_ok=True)
    return workspace


def test_matching_steps_are_published_once(flights: FlightsProject, trained: Workspace) -> None:
    first = publish(trained, flights.spec(MODEL))
    assert first.version == 1
    assert publish(trained, flights.spec(MODEL)) == first


def append_a_line(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def cut_in_half(path: Path) -> None:
    """Leave what LightGBM would end the whole process on."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def shift_a_feature(path: Path) -> None:
    table = pl.read_parquet(path)
    table.with_columns(pl.nth(0) + 1).write_parquet(path)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("features.parquet", shift_a_feature, "fitted on another data set; run `zeroskew fit`"),
        ("booster.txt", append_a_line, "another booster.txt than was fitted; run `zeroskew fit`"),
        ("booster.txt", cut_in_half, "another booster.txt than was fitted; run `zeroskew fit`"),
        ("evaluated.sha256", append_a_line, "evaluation of another fit; run `zeroskew evaluate`"),
        ("model.onnx", append_a_line, "parity report on another export; run `zeroskew parity`"),
    ],
)
def test_step_that_was_run_again_alone_is_found(
    flights: FlightsProject,
    trained: Workspace,
    name: str,
    change: Callable[[Path], None],
    message: str,
) -> None:
    change(trained.work(MODEL) / name)
    with pytest.raises(StepError, match=message):
        publish(trained, flights.spec(MODEL))


def test_export_of_an_earlier_fit_is_found(flights: FlightsProject, trained: Workspace) -> None:
    folder = trained.work(MODEL)
    parity = (folder / "parity.json").read_text()
    digest = (folder / "evaluated.sha256").read_text()
    (folder / "parity.json").write_text(parity.replace(digest, "0" * 64))
    with pytest.raises(StepError, match="export of another fit; run `zeroskew export`"):
        publish(trained, flights.spec(MODEL))


def test_a_request_time_function_with_another_input_is_found(
    flights: FlightsProject, trained: Workspace
) -> None:
    folder = trained.work(MODEL)
    plan = json.loads((folder / "plan.json").read_text())
    taken = plan["request_inputs"].pop()["name"]
    (folder / "plan.json").write_text(json.dumps(plan))
    request = pl.read_parquet(folder / "request.parquet")
    request.drop(taken).write_parquet(folder / "request.parquet")
    with pytest.raises(StepError, match="Got other request-time features than the data set has"):
        make_parity(trained, flights.spec(MODEL), lambda _done, _total: None)


def test_request_time_function_that_changed_is_found(
    flights: FlightsProject, trained: Workspace
) -> None:
    path = trained.work(MODEL) / "features.parquet"
    table = pl.read_parquet(path)
    table.with_columns(pl.col("departure_time__local_hour") + 1).write_parquet(path)
    with pytest.raises(StepError, match="other values of departure_time__local_hour"):
        make_parity(trained, flights.spec(MODEL), lambda _done, _total: None)
