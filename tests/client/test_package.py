"""The client is a distribution of its own: small, typed, and without the service's libraries."""

import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "client"
FORBIDDEN = {"api", "training", "fastapi", "feast", "numpy", "pandas", "pydantic", "starlette"}


def run_python(program: str, path: Path, folder: Path) -> str:
    """Return what a program prints that finds first what is in `path`."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=CLIENT, check=True
    )
    return folder


def test_the_wheel_works_alone_and_loads_nothing_of_the_service(
    built: Path, tmp_path: Path
) -> None:
    (wheel,) = built.glob("zeroskew_client-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)  # noqa: S202 - our own archive
    program = (
        "import sys, zeroskew_client as client\n"
        "print(client.__file__, *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    file, *loaded = run_python(program, tmp_path, tmp_path).split()
    assert Path(file).is_relative_to(tmp_path)
    assert {"httpx", "zeroskew_client"} <= set(loaded)
    assert not FORBIDDEN & set(loaded)


def test_the_wheel_says_what_it_is_and_needs(built: Path) -> None:
    (wheel,) = built.glob("zeroskew_client-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        fields = Parser().parsestr(archive.read(metadata).decode())
    assert {name.split("/")[0].split("-")[0] for name in names} == {"zeroskew_client"}
    assert "zeroskew_client/py.typed" in names
    assert fields.get_all("Requires-Dist") == ["httpx<1,>=0.28"]
    program = "import zeroskew_client; print(zeroskew_client.__version__)"
    assert run_python(program, CLIENT / "src", ROOT).strip() == fields["Version"]


def test_both_distributions_carry_the_licence(built: Path) -> None:
    licence = (ROOT / "LICENSE").read_bytes()
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("LICENSE"))
        assert archive.read(name) == licence
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as tar:
        (member,) = (member for member in tar if member.name.endswith("LICENSE"))
        content = tar.extractfile(member)
        assert member.isfile()
        assert content is not None
        assert content.read() == licence
