"""openapi-python-client makes a client of the OpenAPI document, and every operation works by it."""

import os
import re
import subprocess
from pathlib import Path

import httpx

from tests.support.client_environments import OPENAPI_CLIENT, client_programs
from tests.support.whole_service import run_whole_service

PROGRAM = Path(__file__).with_name("generated_client.py")
DEADLINE_SEC = 300


def run(programs: Path, folder: Path, *command: str) -> str:
    """Run one of the generator's environment's programs, and return what it prints."""
    done = subprocess.run(
        [str(programs / command[0]), *command[1:]],
        cwd=folder,
        # The generator formats what it made by the ruff that it finds.
        env=os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SEC,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_operation_answers_and_refuses_as_the_client_reads_it(tmp_path: Path) -> None:
    programs = client_programs("openapi-python-client", OPENAPI_CLIENT)
    with run_whole_service(tmp_path) as url:
        document = httpx.get(f"{url}/openapi.json")
        (tmp_path / "openapi.json").write_bytes(document.content)
        options = ("--meta", "none", "--fail-on-warning", "--output-path", "trial_client")
        run(
            programs,
            tmp_path,
            "openapi-python-client",
            "generate",
            "--path",
            "openapi.json",
            *options,
        )
        printed = run(programs, tmp_path, "python", str(PROGRAM), url, str(tmp_path))
    operations = sum(len(by_method) for by_method in document.json()["paths"].values())
    found = re.fullmatch(r"(\d+) operations, (\d+) answers, (\d+) refusals\n", printed)
    assert found is not None, printed
    assert int(found[1]) == operations
