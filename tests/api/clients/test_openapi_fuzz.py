"""Schemathesis asks everything that the OpenAPI document allows, and much that it does not."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.client_environments import SCHEMATHESIS, client_programs
from tests.support.whole_service import run_whole_service

CONFIG = Path(__file__).with_name("schemathesis.toml")
HOOKS = CONFIG.with_name("schemathesis_hooks.py")
ENOUGH_CASES = 2000


def run_schemathesis(folder: Path, *options: str) -> str:
    """Run all its checks on a service of its own, and return what it prints."""
    programs = client_programs("schemathesis", SCHEMATHESIS)
    with run_whole_service(folder) as url:
        command = [
            str(programs / "schemathesis"),
            "--config-file",
            str(CONFIG),
            "run",
            "--no-color",
        ]
        done = subprocess.run(
            [*command, f"{url}/openapi.json", "--checks", "all", "--no-shrink", *options],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(HOOKS.parent), "SCHEMATHESIS_HOOKS": HOOKS.stem},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def count_passed(printed: str) -> int:
    found = re.search(r"(\d+) generated, (\d+) passed$", printed, re.MULTILINE)
    assert found is not None, printed
    assert found[1] == found[2]
    return int(found[2])


def test_no_check_fails(tmp_path: Path) -> None:
    assert count_passed(run_schemathesis(tmp_path, "-n", "10", "--seed", "1")) >= ENOUGH_CASES


@pytest.mark.soak
def test_no_check_fails_in_many_more_cases(tmp_path: Path) -> None:
    n_cases = count_passed(run_schemathesis(tmp_path, "-n", "400"))
    print(f"{n_cases:,} cases")  # noqa: T201 - a trial tells its numbers
    assert n_cases >= 5 * ENOUGH_CASES
