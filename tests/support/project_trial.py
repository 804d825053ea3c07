"""Takes a drawn project from its check to its answers, and holds each to an exact oracle."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import polars as pl
from typer.testing import CliRunner

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.exact_oracle import ExactOracle
from tests.support.random_projects import CLOCK, KEYS, RandomProject, draw_project
from training.cli.main import app
from zeroskew.contract.errors.project import TrainingError
from zeroskew.contract.errors.service import ServiceError
from zeroskew.contract.settings import Settings

__all__ = ["Outcome", "try_project"]

STEPS: Final = ("check", "apply", "materialize", "train", "publish")
MOST_CHARACTERS: Final = 600


@dataclass(frozen=True)
class Outcome:
    """What became of a project: ``refused_at`` a step with ``message``, or served ``n_answers``."""

    mistake: str | None
    refused_at: str | None = None
    message: str = ""
    n_answers: int = 0


def try_project(seed: int, folder: Path) -> Outcome:
    """Draw a project, run every command on it, serve it, and compare with the oracle.

    Raises
    ------
    AssertionError
        If a command ends in a traceback or in a refusal that nobody can read, or if a trained or
        a served value is not the oracle's.
    """
    project = draw_project(seed)
    project.write(folder)
    with _environment(project):
        for step in STEPS:
            message = _run(step, seed)
            if message is not None:
                return Outcome(project.mistake, step, message)
        oracle = ExactOracle(project)
        _check_training(project, oracle)
        return Outcome(project.mistake, n_answers=_check_answers(project, oracle))


@contextmanager
def _environment(project: RandomProject) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(project.environment())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(step: str, seed: int) -> str | None:
    """Run a command; return how it refused, ``None`` where it did not."""
    result = CliRunner().invoke(app, [step])
    if result.exit_code == 0:
        return None
    error = result.exception
    if isinstance(error, SystemExit):
        message = result.output
        assert message.strip(), f"seed {seed}: {step} ends with {error.code} and says nothing"
    else:
        if not isinstance(error, TrainingError | ServiceError | OSError):
            text = f"seed {seed}: {step} ends in {type(error).__name__}: {error}"
            raise AssertionError(text) from error  # noqa: TRY004 - of whatever type
        message = str(error)
        if step in ("train", "publish"):  # They say of each model what is wrong with it.
            message = result.output + message
        assert len(message) <= MOST_CHARACTERS, f"seed {seed}: {step}: {message}"
    assert "Traceback" not in message, f"seed {seed}: {step}: {message}"
    return message


def _work(project: RandomProject) -> Path:
    return project.folder / "var" / "work" / "m"


def _check_training(project: RandomProject, oracle: ExactOracle) -> None:
    """Compare every row that was trained on."""
    rows = pl.read_parquet(_work(project) / "rows.parquet")
    columns = json.loads((_work(project) / "plan.json").read_text())["columns"]
    got = pl.read_parquet(_work(project) / "features.parquet").to_numpy()
    moments = rows["event_timestamp"].dt.convert_time_zone("UTC").to_list()
    requests = rows.select(list(project.fields)).to_dicts()
    expected = oracle.matrix(columns, requests, moments)
    _assert_same_bits(got, expected, f"seed {project.seed}: training")


def _check_answers(project: RandomProject, oracle: ExactOracle) -> int:
    """Compare the score and every feature of answers; return how many there were."""
    requests = _draw_requests(project)
    columns = json.loads((_work(project) / "plan.json").read_text())["columns"]
    matrix = oracle.matrix(columns, requests, [CLOCK] * len(requests))
    booster = lgb.Booster(model_file=str(_work(project) / "booster.txt"))
    expected = np.asarray(booster.predict(matrix, num_threads=1))
    with _serve(project) as client:
        response = client.post(
            "/v1/models/m:predict?with_features=true",
            content=json.dumps({"instances": requests}),
            headers={"Content-Type": "application/json"},
        )
    assert response.status_code == 200, f"seed {project.seed}: {response.text}"
    answer = response.json()
    for request, told, score, prediction in zip(
        requests, answer["features"], expected, answer["predictions"], strict=True
    ):
        got = np.array(_scores(prediction))
        at = f"seed {project.seed}: {request}"
        close = np.isclose(got, score, rtol=1e-12, atol=1e-300)
        assert close.all(), f"{at}: {got} for {score}"
        for (view, name), value in oracle.look_up(request, CLOCK).items():
            detail = told.get(f"{view}:{name}")
            if detail is not None:
                assert _is_same(detail["value"], value), f"{at}: {view}:{name}: {detail}, {value!r}"
    return len(requests)


def _scores(prediction: dict[str, Any]) -> list[float]:
    if "probabilities" in prediction:
        return list(prediction["probabilities"].values())
    return [prediction["probability" if "probability" in prediction else "value"]]


@contextmanager
def _serve(project: RandomProject) -> Iterator[AppClient]:
    home = project.folder / "var"
    settings = Settings(
        database_url=f"sqlite:///{home}/zeroskew.db",
        artifacts_dir=home / "artifacts",
        online_store=f"sqlite:///{home}/feast/online.db",
        clock=CLOCK,
        log_mode="off",
    )
    with AppClient(create_app(settings)) as client:
        yield client


def _draw_requests(project: RandomProject) -> list[dict[str, Any]]:
    """Return requests for every key, an unknown one, and null keys where a field takes them."""
    rng = np.random.default_rng(project.seed + 1_000_000)
    requests = []
    pools = {name: KEYS[kind] for name, kind in project.key_types.items()}
    for row in range(40):
        request: dict[str, Any] = {}
        for name, (_, nullable) in project.fields.items():
            if name in pools:
                value = pools[name][row % len(pools[name])]
            else:
                values = project.labels[name].drop_nulls().to_list()
                value = values[int(rng.integers(len(values)))]
            request[name] = None if nullable and rng.random() < 0.1 else value
        requests.append(request)
    return requests


def _is_same(told: Any, value: Any) -> bool:
    if isinstance(value, float) and math.isnan(value):
        return told is None  # NaN is a missing value, from the table to the answer.
    if isinstance(value, float) and math.isinf(value):
        return bool(told == ("Infinity" if value > 0 else "-Infinity"))
    if isinstance(value, float):
        return bool(told == value or np.float32(told) == np.float32(value))
    return type(told) is type(value) and bool(told == value)


def _assert_same_bits(
    got: npt.NDArray[np.float32], expected: npt.NDArray[np.float32], title: str
) -> None:
    assert got.shape == expected.shape, f"{title}: {got.shape} for {expected.shape}"
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    wrong = np.argwhere(~same)
    assert not len(wrong), f"{title}: {len(wrong)} cells, first {wrong[0]}: " + (
        f"{got[tuple(wrong[0])]} for {expected[tuple(wrong[0])]}"
    )
