"""Programs of Debian that tests need, installed where root may."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

__all__ = ["need_program"]


def need_program(package: str, names: Sequence[str]) -> str:
    """Return the path of the first program of these names, installing its package if need be."""
    # Several workers of pytest-xdist may come here at once.
    with (Path(tempfile.gettempdir()) / "zeroskew-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (found := _find(names)) is not None:
            return found
        if os.geteuid() == 0 and shutil.which("apt-get"):
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
            for command in (["apt-get", "update", "-qq"], install):
                subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        if (found := _find(names)) is not None:
            return found
    pytest.fail(f"Got no {names[0]} on PATH, but expected it: run `apt-get install {package}`.")


def _find(names: Sequence[str]) -> str | None:
    return next((path for name in names if (path := shutil.which(name)) is not None), None)
