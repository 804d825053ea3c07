"""The `zeroskew` command in this process, which has imported already what takes it seconds."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from training.cli.main import main

__all__ = ["run_command"]


def run_command(
    *arguments: str, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> CompletedProcess[str]:
    """Run a command with variables added to the environment; say how it ended and what it printed.

    Parameters
    ----------
    arguments
        What stands behind ``zeroskew``.
    environment
        Variables on top of this process's.
    folder
        The working directory; without one, it is this process's.
    """
    printed, complained = io.StringIO(), io.StringIO()
    code: object = 0
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in (environment or {}).items():
            patched.setenv(name, value)
        if folder is not None:
            patched.chdir(folder)
        patched.setattr("sys.argv", ["zeroskew", *arguments])
        with redirect_stdout(printed), redirect_stderr(complained):
            try:
                main()
            except SystemExit as left:
                code = left.code or 0
            finally:
                # What a project's settings file puts there ends with the command.
                for name in os.environ.keys() - before.keys():
                    del os.environ[name]
    assert isinstance(code, int), code
    return CompletedProcess(arguments, code, printed.getvalue(), complained.getvalue())
