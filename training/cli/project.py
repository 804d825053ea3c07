"""Commands about a project as a whole."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from training.cli.options import make_group
from training.project.progress import Reporter, quiet
from training.project.workspace import Workspace

__all__ = ["example_app", "new"]

_console = Console()
_reporter = Reporter(_console)
example_app = make_group("example", "The worked example that a clone comes with.")


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
    start = "zeroskew up" if shutil.which("zeroskew") else "make up"
    sys.stdout.write(f"\ncd {shlex.quote(str(folder))} && {start}\n\n")


@example_app.callback()
def _describe() -> None:
    """Keep `remove` a name of its own: typer would run a lone command without one."""


@example_app.command()
def remove(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take the example out of a clone: definitions, models, tables, and what came of them.

    Its models' versions, history, predictions and labels go from the database, its features from
    the online store, its tables from the lake. What is not the example's stays. End the service
    first: what it still answers for the example's models would be logged again.
    """
    from training.cli.registry import migrate
    from training.project.example import read_example, remove_example

    parts = read_example(Path())
    named = (
        f"{len(parts.files)} files, {len(parts.tables)} tables, models {', '.join(parts.models)}"
    )
    if not yes:
        typer.confirm(f"Remove {named}, with all that is recorded about them?", abort=True)
    migrate()
    with _reporter.task("remove the example"), quiet():
        gone = remove_example(Path(), Workspace(), parts)
    _console.print(
        f"  {gone.n_files} files and {gone.n_tables} tables; {gone.records.n_versions} versions, "
        f"{gone.records.n_predictions:,} predictions and {gone.records.n_labels:,} labels; "
        f"{len(gone.views)} views online",
        highlight=False,
        soft_wrap=True,
    )
