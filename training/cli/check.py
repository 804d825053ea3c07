"""`zeroskew check`, and how other commands begin with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from training.project.workspace import Workspace
from zeroskew.contract.errors.project import StepError

if TYPE_CHECKING:
    from training.checks.finding import Finding

__all__ = ["check", "print_findings", "refuse_mistakes"]

_console = Console()


def check(
    models: Annotated[
        list[str] | None, typer.Argument(help="Models to look at; all declared ones by default.")
    ] = None,
) -> None:
    """Say in seconds all that would fail later.

    Looks at settings, port, clock, database and online store, at the feature repo's definitions
    and their tables, and at the models with their label tables. `apply`, `train` and `up` begin
    with what of it matters to them.
    """
    from training.checks.run import CheckScope, find_mistakes

    found = find_mistakes(Workspace(), CheckScope.ALL, models=models)
    print_findings(found)
    if found:
        raise typer.Exit(1)
    _console.print("[green]✓[/] nothing found that would fail")


def print_findings(found: Sequence[Finding]) -> None:
    """Print a line for each."""
    for finding in found:
        _console.print(f"[red]✗[/] {escape(str(finding))}", highlight=False, soft_wrap=True)


def refuse_mistakes(
    workspace: Workspace,
    scope_name: str,
    models: Sequence[str] | None = None,
    *,
    before_tables: bool | None = None,
) -> set[str]:
    """Begin a step: print what would fail later, and stop if that concerns more than one model.

    Parameters
    ----------
    scope_name
        ``up``, ``apply`` or ``train``.
    models
        The models it works on; all declared ones where it is ``None``.
    before_tables
        As in `training.checks.run.find_mistakes`.

    Returns
    -------
    models
        Those that have a mistake of their own; the step goes on without them.

    Raises
    ------
    StepError
        If a mistake is not of one model alone.
    """
    from training.checks.run import CheckScope, find_mistakes

    found = find_mistakes(
        workspace, CheckScope(scope_name), models=models, before_tables=before_tables
    )
    print_findings(found)
    if n_common := sum(finding.model is None for finding in found):
        raise StepError(
            f"Got {n_common} mistakes that stop `zeroskew {scope_name}`, but expected none; "
            "`zeroskew check` lists all"
            if n_common > 1
            else f"`zeroskew {scope_name}` has not begun; `zeroskew check` lists all that it finds"
        )
    return {finding.model for finding in found if finding.model is not None}
