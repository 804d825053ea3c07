"""Commands from raw data to the online store."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.cli.check import refuse_mistakes
from training.cli.options import print_table
from training.project.progress import Reporter, quiet
from training.project.repo_modules import repo_modules
from training.project.service_clock import as_utc, read_clock
from training.project.workspace import Workspace
from zeroskew.contract.errors.project import SpecError, StepError

__all__ = ["BreakLive", "apply", "collect", "materialize", "prepare"]

_console = Console()
_reporter = Reporter(_console)

BreakLive = Annotated[
    bool,
    typer.Option(
        "--break-live",
        help="Apply definitions even if versions that serve do not find what they read then.",
    ),
]


def prepare() -> None:
    """Make the feature and label tables in the lake from the raw data.

    Runs `prepare` of the feature repo's `pipelines.prepare`. Rows that fail validation go to a
    quarantine table with the reason; their count is printed. A feature repo without pipelines
    brings its tables along.
    """
    workspace = Workspace()
    if (prepare_file := workspace.prepare_file) is None:
        _console.print("[green]✓[/] no pipelines: the tables come as they are")
        return
    with repo_modules(workspace.feature_repo), _reporter.task("prepare tables"):
        try:
            from pipelines.prepare import prepare as prepare_tables
        except Exception as error:  # Whatever a user's file may raise.
            from zeroskew.declarations.located_error import describe_error, locate_error

            place = locate_error(error, workspace.feature_repo, prepare_file)
            raise SpecError(f"{place}: {describe_error(error)[0]}") from error

        report = prepare_tables(
            workspace.lake_folder,
            progress=lambda line: _console.print(f"  {line}", highlight=False),
        )
    rows = getattr(report, "rows", None)
    if not rows:
        _console.print(f"[green]✓[/] tables in {workspace.lake}", soft_wrap=True)
        return
    table = Table("table", "rows", title=f"Tables in {workspace.lake}")
    for name, n_rows in rows.items():
        table.add_row(name, f"{n_rows:,}")
    print_table(table)


def apply(break_live: BreakLive = False) -> None:
    """Register the feature repo's definitions with Feast, and what the service knows of them.

    Definitions by which a version that serves would not find what it reads are refused. What is
    removed stays online until no version that serves reads it.
    """
    from training.project.apply_definitions import apply_definitions
    from training.publish.publish_catalog import publish_catalog

    workspace = Workspace()
    refuse_mistakes(workspace, "apply")
    with _reporter.task("apply feature definitions"), quiet():
        applied = apply_definitions(workspace, break_live=break_live)
    with _reporter.task("publish the feature catalog"), quiet():
        catalog = publish_catalog(workspace)
    _console.print(
        f"  {len(catalog.views)} views, {len(catalog.services)} feature services, "
        f"{len(catalog.push_sources)} push sources",
        highlight=False,
    )
    for told in applied.describe():
        _console.print(f"[yellow]![/] {escape(told)}", highlight=False, soft_wrap=True)


def materialize(
    until: Annotated[
        datetime | None,
        typer.Option(help="Moment as of which values are written; the clock's time by default."),
    ] = None,
) -> None:
    """Write the latest feature values to the online store."""
    from training import pipeline

    moment = read_clock() if until is None else as_utc(until)
    with _reporter.task(f"materialize until {moment:%Y-%m-%d %H:%M} UTC") as task, quiet():
        rows = pipeline.materialize(Workspace(), moment, task)
    counts = ", ".join(view if n is None else f"{view} {n:,}" for view, n in rows.items())
    _console.print(f"  entities online: {counts}", highlight=False)
    if empty := [view for view, n in rows.items() if n == 0]:
        _console.print(
            f"[yellow]![/] nothing online of {', '.join(empty)}: no row was known and alive at "
            f"{moment:%Y-%m-%d %H:%M} UTC; for data of the past set ZEROSKEW_CLOCK",
            highlight=False,
        )


def collect() -> None:
    """Bring the rows that were pushed to the service into the tables of the lake.

    The commands that read tables do so first by themselves. Exits with 1 where rows do not fit
    into their table: they wait, and are tried again each time.
    """
    workspace = Workspace()
    with _reporter.task("collect pushed rows"), quiet():
        collected = workspace.collect_pushes(workspace.open_definitions())
    added = collected.added if collected else {}
    for source, n_rows in added.items():
        assert collected is not None
        _console.print(
            f"  {source}: {n_rows:,} rows; {collected.repeated[source]:,} were there already",
            highlight=False,
        )
    if not added:
        _console.print("  no row waited", highlight=False)
    if collected and collected.refused:
        waiting = ", ".join(
            f"{collected.n_refused[source]:,} rows of {source} ({why})"
            for source, why in collected.refused.items()
        )
        raise StepError(
            f"Got pushed rows that do not fit, but expected those of their table: {waiting}"
        )
