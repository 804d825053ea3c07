"""Two wheels: the service alone, and all of it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PROJECTS: Final = {"all": ROOT, "serving": ROOT / "packaging" / "serving"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    for name, project in PROJECTS.items():
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
        subprocess.run([*command, "-d", str(folder / name)], cwd=project, check=True)
    return {name: next((folder / name).glob("*.whl")) for name in PROJECTS}


def list_modules(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def list_sources(*folders: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def read_dependencies(project: str) -> set[str]:
    declared = tomllib.loads((PROJECTS[project] / "pyproject.toml").read_text())
    return set(declared["project"]["dependencies"])


def test_the_services_wheel_has_the_service_and_what_it_imports(wheels: dict[str, Path]) -> None:
    parts = ("contract", "model", "online", "records", "windows")
    shared = {"zeroskew/__init__.py", "zeroskew/py.typed"}
    expected = list_sources("api", *(f"zeroskew/{part}" for part in parts)) | shared
    assert list_modules(wheels["serving"]) == expected


def test_the_other_wheel_has_all_but_the_example(wheels: dict[str, Path]) -> None:
    expected = list_sources("api", "zeroskew", "training") - list_sources("training/models")
    assert list_modules(wheels["all"]) == expected


def test_the_service_needs_nothing_that_all_of_it_does_not() -> None:
    assert read_dependencies("serving") < read_dependencies("all")
    assert not {"feast", "lightgbm", "onnx", "polars"} & {
        one.split(">")[0] for one in read_dependencies("serving")
    }


def test_both_are_of_one_release(wheels: dict[str, Path]) -> None:
    assert {wheel.name.split("-")[1] for wheel in wheels.values()} == {"0.1.0"}
