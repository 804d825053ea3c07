"""The `zeroskew` command as a person meets it."""

import fcntl
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.command_line import run_command
from tests.support.flights_project import MODELS, ROOT, FlightsProject
from tests.support.redis_servers import free_port
from tests.support.waiting import PATIENCE_SEC, wait_until_ready

ZEROSKEW = Path(sys.executable).with_name("zeroskew")


@pytest.fixture(scope="module")
def served(flights: FlightsProject) -> Iterator[str]:
    """Start the project a second time and yield what the command prints before it serves."""
    port = free_port()
    process = subprocess.Popen(
        [ZEROSKEW, "up"],
        cwd=ROOT,
        env=flights.environment() | {"ZEROSKEW_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith("curl "):
            break
    wait_until_ready(f"http://127.0.0.1:{port}")
    yield printed
    process.terminate()
    process.communicate()


def test_second_start_reuses_what_stands_and_its_curl_line_answers(served: str) -> None:
    assert "tables, online store and models stand" in served
    assert "prepare" not in served
    curl = next(line for line in served.splitlines() if line.startswith("curl "))
    done = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["model"] == "arrival_delay_15"
    assert answer["as_of"] == "2013-10-01T12:17:00Z"
    assert 0.0 < answer["predictions"][0]["probability"] < 1.0


def test_every_example_of_the_openapi_page_works_when_sent(served: str) -> None:
    url = re.findall(r"http://[\d.:]+", served)[0]
    with httpx.Client(base_url=url, timeout=PATIENCE_SEC) as client:
        paths = client.get("/openapi.json").json()["paths"]
        for model in MODELS:
            body = paths[f"/v1/models/{model}:predict"]["post"]["requestBody"]
            media = body["content"]["application/json"]
            examples = media.get("examples") or {"only": {"value": media["example"]}}
            for example in examples.values():
                answer = client.post(f"/v1/models/{model}:predict", json=example["value"])
                assert answer.status_code == 200, answer.text
        page = client.get("/docs").text
        assert "swagger" in page.lower()
        assert not re.findall(r"""(?:src|href)=["']https?://""", page)


def test_models_are_listed(flights: FlightsProject) -> None:
    printed = flights.run("models").stdout
    for model in MODELS:
        assert re.search(rf"{model}\s*│\s*1\s*│\s*champion", printed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "departure_delay"), "Got model 'departure_delay', but expected one of"),
        (("publish", "../secrets"), "Got model '../secrets', but expected one of"),
    ],
)
def test_unknown_model_is_one_clear_line(
    flights: FlightsProject, arguments: tuple[str, ...], message: str
) -> None:
    done = flights.run(*arguments)
    assert done.returncode == 1
    assert message in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("step", "before"),
    [
        ("fit", "dataset"),
        ("evaluate", "dataset"),
        ("export", "dataset"),
        ("parity", "dataset"),
        ("publish", "dataset"),
    ],
)
def test_step_out_of_order_names_the_one_before(
    flights: FlightsProject, tmp_path: Path, step: str, before: str
) -> None:
    empty = FlightsProject(tmp_path)
    (tmp_path / "feature_repo").symlink_to(flights.workspace.feature_repo)
    done = empty.run(step, "arrival_delay_15")
    assert done.returncode == 1
    assert f"run `zeroskew {before}` first" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_clock_that_is_none_is_refused(flights: FlightsProject) -> None:
    clock = {"ZEROSKEW_CLOCK": "yesterday"}
    done = run_command("materialize", environment=flights.variables() | clock)
    assert (done.returncode, done.stderr) == (1, "")
    assert "Got ZEROSKEW_CLOCK=yesterday, but expected 'system' or an instant" in done.stdout


def test_folder_without_a_project_names_what_is_missing(tmp_path: Path) -> None:
    done = run_command("apply", folder=tmp_path)
    assert done.returncode == 1
    assert "feature_repo: Got no such folder, but expected a Feast repo" in done.stdout
    assert "set ZEROSKEW_FEATURE_REPO" in done.stdout


def test_two_at_once_wait_for_each_other(flights: FlightsProject) -> None:
    with (flights.workspace.home / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [ZEROSKEW, "up", "--no-serve"],
            cwd=ROOT,
            env=flights.environment() | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert "another `zeroskew up` is at work here" in process.stdout.readline()
    printed, _ = process.communicate()
    assert "tables, online store and models stand" in printed


def test_materializing_long_past_rows_says_that_nothing_is_online(
    flights: FlightsProject, tmp_path: Path
) -> None:
    project = FlightsProject(tmp_path)
    shutil.copytree(flights.workspace.feature_repo, project.workspace.feature_repo)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "lake").symlink_to(flights.workspace.lake_folder)
    forgotten = project.run("materialize")
    assert forgotten.returncode == 1
    assert "run `zeroskew apply` first" in forgotten.stdout
    assert project.run("apply").returncode == 0
    printed = project.run("materialize", "--until", "2026-01-01T00:00:00").stdout
    assert "nothing online of origin_weather:" in printed
    assert "set ZEROSKEW_CLOCK" in printed


def test_broken_definitions_are_one_clear_line(flights: FlightsProject, tmp_path: Path) -> None:
    project = FlightsProject(tmp_path)
    shutil.copytree(flights.workspace.feature_repo, project.workspace.feature_repo)
    (tmp_path / "feature_repo" / "entities.py").write_text("carrier =")
    done = project.run("apply")
    assert done.returncode == 1
    assert "entities.py:1: Got SyntaxError" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_port_in_use_is_said_before_a_curl_line_is_printed(flights: FlightsProject) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = subprocess.run(
            [ZEROSKEW, "up"],
            cwd=ROOT,
            env=flights.environment() | {"ZEROSKEW_PORT": str(taken.getsockname()[1])},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "but expected a free port" in done.stdout
    assert "curl" not in done.stdout


def test_help_lists_the_commands_in_the_order_of_the_line() -> None:
    done = subprocess.run([ZEROSKEW, "--help"], capture_output=True, text=True, check=True)
    listed = re.findall(r"^  (\w+)   +\S", done.stdout, re.MULTILINE)
    order = ["prepare", "apply", "materialize", "train", "publish", "models", "serve", "up"]
    assert [name for name in listed if name in order] == order
