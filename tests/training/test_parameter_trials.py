"""All parameters that a model may set, tried on the installed LightGBM in one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.parameter_trials import TRIALS
from training.parameters.table import SETTABLE, SPEED_ONLY

ROOT = Path(__file__).parents[2]


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
    for trial, outcome in zip(TRIALS, outcomes, strict=True):
        assert outcome["parameters"] == trial.parameters
        assert "refused" not in outcome, outcome
        assert outcome["changes"] or trial.name in SPEED_ONLY, outcome


def test_each_gives_the_same_trees_on_two_threads(outcomes: list[dict[str, Any]]) -> None:
    assert [one for one in outcomes if not one["is_same_on_two_threads"]] == []
