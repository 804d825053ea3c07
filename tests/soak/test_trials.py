"""Longer trials of what the tests show on a small scale; `make soak` runs them."""

import random
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from tests.support.boosters import BOOSTINGS, OBJECTIVES
from tests.support.flights_project import ROOT
from tests.training.families.lightgbm.test_export_fuzz import compare_small_models

pytestmark = pytest.mark.soak

N_TRIALS = 8
N_LABELS = 3_000_000
MOST_MEMORY_MB = 1_500
N_KILLS = 20

PREPARE = """
import sys
from pathlib import Path
sys.path.insert(0, "feature_repo")
from pipelines.prepare import prepare
prepare(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("trial", range(1, N_TRIALS + 1))
@pytest.mark.parametrize("boosting", BOOSTINGS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_more_models_equal_lightgbm(objective: str, boosting: str, trial: int) -> None:
    assert compare_small_models(objective, boosting, trial) >= 24


def start_prepare(lake: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PREPARE, str(lake)], cwd=ROOT)


def read_lake(lake: Path) -> dict[str, pl.DataFrame]:
    tables = sorted(path.name for path in lake.iterdir() if not path.name.startswith("_"))
    return {
        name: pl.read_parquet(lake / name / "**/*.parquet", hive_partitioning=False)
        for name in tables
    }


def test_killed_preparation_leaves_a_lake_that_the_next_one_completes(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    started = time.monotonic()
    assert start_prepare(whole).wait() == 0
    seconds = time.monotonic() - started
    dice = random.Random(5)  # noqa: S311 - moments of death, not secrets
    for _ in range(N_KILLS):
        process = start_prepare(killed)
        time.sleep(dice.uniform(0.2, 1.0) * seconds)
        process.kill()
        process.wait()
    assert start_prepare(killed).wait() == 0
    expected, got = read_lake(whole), read_lake(killed)
    assert got.keys() == expected.keys()
    for name, table in expected.items():
        order = table.columns
        assert got[name].sort(order).equals(table.sort(order)), name


def test_slices_bound_the_memory_of_three_million_labels(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    assert start_prepare(lake).wait() == 0
    peaks, answers = {}, {}
    for max_slice_rows in (100_000_000, 100_000):
        out = tmp_path / f"{max_slice_rows}.parquet"
        command = [sys.executable, "-m", "tests.soak.join_many_labels"]
        command += [str(lake), str(out), str(max_slice_rows), str(N_LABELS)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        sys.stdout.write(done.stdout)
        peaks[max_slice_rows] = float(done.stdout.split()[-2])
        answers[max_slice_rows] = pl.read_parquet(out)
    at_once, sliced = answers.values()
    assert at_once.height == N_LABELS
    assert at_once.equals(sliced)
    # Labels and answer alone are some 600 MB; what is read beside them must stay below that.
    assert max(peaks.values()) < MOST_MEMORY_MB
