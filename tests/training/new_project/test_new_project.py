"""A new project, from a wheel in an environment of its own to an answered request."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.command_line import run_command
from tests.support.readme_project import readme_code
from tests.support.redis_servers import free_port
from tests.support.waiting import PATIENCE_SEC, is_ready, wait_until

ROOT: Final = Path(__file__).parents[3]
TEMPLATE: Final = ROOT / "training" / "new_project" / "template"
STRANGERS: Final = ("api", "training", "pipelines", "zeroskew")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment with the wheel; what it needs comes from this one's."""
    folder = tmp_path_factory.mktemp("environment")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [uv, "pip", "install", "-q", "--offline", "--no-deps", "--python", python, wheel],
        check=True,
    )
    # Of a folder that is added so, no .pth file counts: the checkout is not on the path.
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "needs.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def make_environment(programs: Path, **variables: str) -> dict[str, str]:
    ours = {key: value for key, value in os.environ.items() if not key.startswith("ZEROSKEW_")}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return ours | {"PATH": path, "PYTHONWARNINGS": "default"} | variables


@pytest.fixture(scope="module")
def project(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a new project that has folders of the names that are ours, which nobody may import."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    subprocess.run(
        ["zeroskew", "new", "shop"], cwd=elsewhere, env=make_environment(programs), check=True
    )
    for name in STRANGERS:
        (elsewhere / "shop" / name).mkdir()
        (elsewhere / "shop" / name / "__init__.py").write_text(f'raise RuntimeError("{name}")\n')
    return elsewhere / "shop"


@pytest.fixture(scope="module")
def service(programs: Path, project: Path) -> Iterator[tuple[str, str]]:
    """Start `zeroskew up` in it; yield the service's address and the line that it printed."""
    port = free_port()
    log = project.parent / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["zeroskew", "up"],
            cwd=project,
            env=make_environment(programs, ZEROSKEW_PORT=str(port)),
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: process.poll() is not None or is_ready(url), what="a service")
        assert process.poll() is None, log.read_text()
        yield url, next(one for one in log.read_text().splitlines() if one.startswith("curl "))
    finally:
        process.terminate()
        process.wait(PATIENCE_SEC)


def test_the_printed_line_is_answered(service: tuple[str, str]) -> None:
    url, line = service
    assert url in line
    done = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["model"] == "will_return"
    assert 0 < answer["predictions"][0]["probability"] < 1


def test_its_own_tests_pass(programs: Path, project: Path, service: tuple[str, str]) -> None:
    done = subprocess.run(
        [programs / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=project,
        env=make_environment(programs),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_what_runs_is_the_wheels(programs: Path, project: Path) -> None:
    show = "import training.cli.main as one; print(one.__file__)"
    done = subprocess.run(
        [programs / "python", "-P", "-c", show],
        cwd=project,
        env=make_environment(programs),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(programs.parent))


def test_the_readmes_files_are_the_templates() -> None:
    for name, code in readme_code().items():
        assert (TEMPLATE / name).read_text().endswith(f'"""\n\n{code}'), name


def test_its_definitions_import_the_public_face_and_feast_alone() -> None:
    found = set()
    for folder in ("feature_repo", "models"):
        for path in (TEMPLATE / folder).rglob("*.py"):
            found |= set(re.findall(r"^(?:from|import) (\S+)", path.read_text(), re.MULTILINE))
    ours = {name for name in found if name.partition(".")[0] in ("api", "training", "zeroskew")}
    assert ours == {"zeroskew"}


def test_a_bare_one_has_no_sample(tmp_path: Path) -> None:
    done = run_command("new", "shop", "--bare", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    shop = tmp_path / "shop"
    text = "".join(path.read_text() for path in shop.rglob("*") if path.is_file())
    assert "will_return" not in text
    assert "@" not in re.sub(r"\t@|\"\$@\"|\$@|%@|@\$|zeroskew @|password@|git\+\S+", "", text)
    assert "project: shop" in (shop / "feature_repo" / "feature_store.yaml").read_text()
    said = run_command("train", environment={"ZEROSKEW_HOME": "var"}, folder=shop).stdout
    assert "Got no model in models" in said


@pytest.mark.parametrize("name", ["Shop", "my-shop", "1shop", "a" * 51, "."])
def test_a_name_that_feast_does_not_take_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "A Folder").mkdir()
    done = run_command("new", name, folder=tmp_path / "A Folder")
    assert done.returncode == 1
    assert "but expected a name of" in done.stdout
    assert not list((tmp_path / "A Folder").iterdir())


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mine.txt").write_text("mine")
    done = run_command("new", "shop", folder=tmp_path)
    assert done.returncode == 1
    assert "which is there already" in done.stdout
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["mine.txt"]
