"""LightGBM in a process of its own: how it ends, and that it takes nobody with it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.parameter_trials import COLUMNS, trial_rows
from tests.support.waiting import PATIENCE_SEC
from training.families.lightgbm.boosting.exchange import BoostingInput
from training.families.lightgbm.boosting.process import boost_in_process
from training.families.lightgbm.boosting.rounds import FitRefusedError, boost
from zeroskew.contract.errors.project import FitError
from zeroskew.declarations.lightgbm import complete_parameters

ROOT = Path(__file__).parents[4]

WAITING_PARENT = """
import sys, numpy as np
from tests.support.parameter_trials import trial_rows
from tests.training.families.lightgbm.test_boosting_process import given
from training.families.lightgbm.boosting.process import boost_in_process

def report(done, total):
    sys.stdout.write("fitting\\n")
    sys.stdout.flush()

if __name__ == "__main__":
    endless = given(n_rounds=10_000_000, early_stopping_rounds=10_000_000)
    try:
        boost_in_process(endless, model="endless", progress=report)
    except KeyboardInterrupt:
        sys.exit("interrupted")
"""


def given(n_rounds: int = 12, early_stopping_rounds: int = 4, **parameters: Any) -> BoostingInput:
    """Return a small fit, of parameters that nobody checked."""
    declared = {"objective": "regression", "min_data_in_leaf": 5}
    completed = complete_parameters(declared, COLUMNS) | {"num_threads": 1} | parameters
    return BoostingInput(completed, trial_rows(declared), n_rounds, early_stopping_rounds)


def test_process_gives_the_model_that_a_call_gives() -> None:
    one = given()
    told: list[tuple[int, int]] = []
    apart = boost_in_process(one, model="m", progress=lambda *done: told.append(done))
    here = boost(
        one.parameters, one.rows, n_rounds=one.n_rounds, early_stopping_rounds=4, progress=None
    )
    assert apart.text == here.text
    assert apart.validation_scores.tobytes() == here.validation_scores.tobytes()
    assert replace(apart, validation_scores=here.validation_scores) == here
    # The search counts up to the most rounds there can be, the fit of all rows to those chosen.
    assert told[0] == (1, 12)
    assert told[-1] == (apart.n_rounds, apart.n_rounds)


def test_end_by_an_abort_is_a_sentence() -> None:
    # LightGBM 4.7 aborts where a column of categories is to be monotone.
    with pytest.raises(FitError) as error:
        boost_in_process(given(monotone_constraints=[0, 0, 0, 1, 0, 0]), model="m")
    assert str(error.value) == (
        "LightGBM ended with signal 6 (Aborted) while fitting m; last words: "
        "terminate called without an active exception"
    )


def test_end_by_a_kill_is_a_sentence() -> None:
    def kill(done: int, total: int) -> None:
        for child in children_of(os.getpid()):
            os.kill(child, signal.SIGKILL)

    endless = given(n_rounds=10_000_000, early_stopping_rounds=10_000_000)
    with pytest.raises(FitError) as error:
        boost_in_process(endless, model="m", progress=kill)
    assert str(error.value) == (
        "LightGBM ended with signal 9 (Killed) while fitting m; is there memory enough?"
    )


def test_end_by_an_exception_is_a_sentence() -> None:
    broken = replace(given(), rows=replace(given().rows, labels=np.zeros(3)))
    with pytest.raises((FitError, FitRefusedError)) as error:
        boost_in_process(broken, model="m")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"num_leafs": 3}, "Got what LightGBM ignores: Unknown parameter: num_leafs"),
        ({"boosting": "rf"}, "Got what LightGBM refuses: Check failed: (config->bagging_freq > 0"),
        ({"objective": "poisson"}, "Got what LightGBM refuses: [poisson]: at least one target"),
        ({"metric": "gamma"}, "Got what LightGBM refuses: Check failed: (label) > (0)"),
    ],
)
def test_refusal_comes_through(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(FitRefusedError) as error:
        boost_in_process(given(**parameters), model="m")
    assert str(error.value).startswith(said)
    assert " at /" not in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_process_ends_with_the_one_that_started_it(by: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", WAITING_PARENT],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "fitting\n"
    (child,) = children_of(parent.pid)
    pidfd = os.pidfd_open(child)
    parent.send_signal(by)
    _, said = parent.communicate(timeout=PATIENCE_SEC)
    # Readable when that process has ended.
    assert select.select([pidfd], [], [], PATIENCE_SEC)[0]
    os.close(pidfd)
    if by is signal.SIGINT:
        assert (parent.returncode, said.strip()) == (1, "interrupted")


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
