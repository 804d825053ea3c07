"""The tools and servers that are no part of this project: found, or installed for the run.

Each server stands in a virtual environment of its own below the benchmark's home, so that
nothing of it reaches the project's own packages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.server_process import ServerError
from tests.support.flights_project import ROOT

__all__ = [
    "BENTOML",
    "MLSERVER",
    "find_wrk",
    "install",
    "install_service",
    "installed_versions",
]

MLSERVER: Final = ("mlserver==1.7.1", "mlserver-lightgbm==1.7.1", "lightgbm==4.7.0")
BENTOML: Final = ("bentoml==1.4.39", "lightgbm==4.7.0")


def install(name: str, packages: Sequence[str], home: Path) -> Path:
    """Return the programs' folder of a virtual environment with ``packages``, made if missing.

    Raises
    ------
    ServerError
        If they cannot be installed.
    """
    return _make(name, [packages], "\n".join(packages), home)


def install_service(home: Path) -> Path:
    """Return the programs' folder of an environment with what the service's image has.

    Raises
    ------
    ServerError
        If it cannot be installed.
    """
    lock = ROOT / "requirements" / "serving.lock"
    steps = [("--require-hashes", "-r", str(lock)), ("--no-deps", "-e", str(ROOT))]
    return _make("service", steps, lock.read_text(), home)


def _make(name: str, steps: Sequence[Sequence[str]], contents: str, home: Path) -> Path:
    """Install step by step, unless an environment with the same contents stands."""
    folder = home / "environments" / name
    stamp = folder / "packages.txt"
    wanted = f"{sys.version}\n{contents}"
    if not stamp.exists() or stamp.read_text() != wanted:
        uv = str(Path(sys.executable).with_name("uv"))
        python = str(folder / "bin" / "python")
        _run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)])
        for packages in steps:
            _run([uv, "pip", "install", "-q", "--python", python, *packages])
        stamp.write_text(wanted)
    return folder / "bin"


def installed_versions(programs: Path, names: Sequence[str]) -> str:
    """Return ``name version`` of packages in the environment of ``programs``."""
    code = (
        "import sys; from importlib.metadata import version; "
        "print(', '.join(f'{name} {version(name)}' for name in sys.argv[1:]))"
    )
    return _run([str(programs / "python"), "-c", code, *names]).strip()


def find_wrk() -> str:
    """Return the program wrk, from Debian's package.

    Raises
    ------
    ServerError
        If it is missing and this is not root on Debian.
    """
    if shutil.which("wrk") is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise ServerError("Got no wrk, but expected one; run: sudo apt-get install wrk")
        _run(["apt-get", "update", "-qq"])
        _run(["apt-get", "install", "-y", "-qq", "wrk"])
    found = shutil.which("wrk")
    assert found is not None
    return found


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - built above
    if done.returncode != 0:
        raise ServerError(f"Got from {' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout
