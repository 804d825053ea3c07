"""Commands about a project as a whole."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

__all__ = ["new"]

_console = Console()


def new(
    folder: Annotated[Path, typer.Argument(help="The new folder; its name is the project's.")],
    bare: Annotated[bool, typer.Option("--bare", help="Without the sample.")] = False,
) -> None:
    """Write a new project into a folder, with a small sample to begin with.

    Definitions, a model, settings, Makefile, Dockerfile, tests and a table of its own. `zeroskew
    up` in it goes to a first score.
    """
    from training.new_project.write_project import write_project

    written = write_project(folder, is_bare=bare)
    _console.print(
        f"[green]✓[/] {len(written)} files in {escape(str(folder))}",
        highlight=False,
        soft_wrap=True,
    )
    if bare:
        _console.print("  next: a table, feature_repo/definitions.py, a file in models/")
    # Written without Rich, so that a narrow terminal does not break the line.
    sys.stdout.write(f"\ncd {shlex.quote(str(folder))} && zeroskew up\n\n")
