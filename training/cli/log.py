"""Commands that keep the prediction log in shape, and bring it to the lake."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console

from training.cli.options import AsOf, Models, make_group, named_models, or_now
from training.live.open_log import open_log
from training.project.progress import Reporter
from training.project.workspace import Workspace

__all__ = ["log_app"]

_console = Console()
_reporter = Reporter(_console)
log_app = make_group("log", "Keep the prediction log in shape.")


@log_app.command()
def upkeep(
    keep_days: Annotated[
        int | None,
        typer.Option(min=1, max=36_500, help="Delete predictions older than so many days."),
    ] = None,
    as_of: AsOf = None,
) -> None:
    """Make PostgreSQL's partitions of the months to come, and delete what is old."""
    from training.live.log_upkeep import keep_log_in_shape

    now = or_now(as_of)
    keep = None if keep_days is None else timedelta(days=keep_days)
    with open_log() as log, _reporter.task("keep the log in shape"):
        report = keep_log_in_shape(log.engine, now, keep)
    _console.print(
        f"  {len(report.made)} partitions made, {len(report.dropped)} dropped; "
        f"{report.n_deleted:,} rows deleted",
        highlight=False,
    )


@log_app.command()
def export(models: Models = None, as_of: AsOf = None) -> None:
    """Write whole days of the log to the lake as Parquet; what stands there is left as it is."""
    from training.live.export_log import export_log

    until = or_now(as_of)
    with open_log() as log:
        for model in named_models(log.registry, models):
            with _reporter.task(f"export the log of {model}") as task:
                report = export_log(log, Workspace().lake_folder, model, until, task)
            _console.print(
                f"  {report.n_rows:,} predictions in {report.n_written} files; "
                f"{report.n_standing} files stand",
                highlight=False,
            )
