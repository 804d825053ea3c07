"""All parameters that a model may set, tried on the installed LightGBM in one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.parameter_trials import COLUMNS, TRIALS, trial_rows
from training.families.lightgbm.boosting.rounds import boost
from zeroskew.declarations.lightgbm import complete_parameters
from zeroskew.declarations.lightgbm.table import SETTABLE, SPEED_ONLY

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def outcomes() -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.support.parameter_trials"],
        cwd=ROOT,
        env=os.environ | {"OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_parameter_is_tried() -> None:
    assert {trial.name for trial in TRIALS} == set(SETTABLE)


def test_each_trains_and_has_the_effect_that_it_promises(outcomes: list[dict[str, Any]]) -> None:
    assert len(outcomes) == len(TRIALS)
    assert [one for one in outcomes if "refused" in one] == []
    without_effect = {
        trial.name
        for trial, outcome in zip(TRIALS, outcomes, strict=True)
        if not outcome["changes"]
    }
    assert without_effect <= SPEED_ONLY


def test_each_gives_the_same_trees_on_two_threads(outcomes: list[dict[str, Any]]) -> None:
    assert [one for one in outcomes if not one["is_same_on_two_threads"]] == []


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"boosting": "dart", "drop_rate": 0.5, "skip_drop": 0.1, "uniform_drop": True},
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"bagging_freq": 1, "bagging_fraction": 0.5, "feature_fraction_bynode": 0.5},
        {"extra_trees": True, "max_bin": 1000, "min_data_in_bin": 1},
        {"objective": "regression_l1", "metric": "quantile"},
    ],
)
def test_number_of_threads_does_not_count(parameters: dict[str, Any]) -> None:
    # Enough rows for each thread to have a block of its own: LightGBM's smallest has 1,024.
    declared = {"objective": "regression"} | parameters
    rows = trial_rows(declared, n_rows=8_000)
    texts = {
        boost(
            complete_parameters(declared | {"num_threads": n_threads}, COLUMNS),
            rows,
            n_rounds=8,
            early_stopping_rounds=8,
        ).text.partition("\nend of trees")[0]
        for n_threads in (1, 2, 5)
    }
    assert len(texts) == 1
