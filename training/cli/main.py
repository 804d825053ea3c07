"""The `zeroskew` command."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.cli.access import add_access_commands
from training.cli.check import add_check_command, refuse_mistakes
from training.cli.live import add_live_commands
from training.cli.log import add_log_commands
from training.cli.registry import AllowRequestChange, add_registry_commands, migrate
from training.cli.rollouts import add_rollout_commands
from training.cli.signing import add_signing_commands
from training.cli.subject import add_privacy_commands
from training.cli.training import (
    add_training_commands,
    declared_models,
    publish_models,
    train_models,
)
from training.project import standing
from training.project.database_errors import describe_database_error
from training.project.online_store import open_online_store
from training.project.progress import Reporter, quiet
from training.project.repo_modules import repo_modules
from training.project.service_address import ServiceAddress
from training.project.service_clock import as_utc, clock_text, read_clock
from training.project.workspace import Workspace
from zeroskew.contract.errors.project import SpecError, StepError, TrainingError
from zeroskew.contract.errors.service import ServiceError
from zeroskew.contract.time.utc_process import live_in_utc
from zeroskew.declarations.located_error import describe_error, locate_error
from zeroskew.declarations.model_spec import ModelSpec, load_model_spec

__all__ = ["app", "main"]

app = typer.Typer(
    name="zeroskew",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="""From tables to a served score, with the same numbers at every step.

    The order of the line: **prepare** the tables, **apply** the feature definitions,
    **materialize** the online store, **train** and **publish** a model, **serve** it.
    `zeroskew up` does all of it and skips what already stands.

    Folders are set by ZEROSKEW_FEATURE_REPO, ZEROSKEW_MODELS and ZEROSKEW_HOME; ZEROSKEW_LAKE
    is where the tables are, if not in the last: a folder, or an address as s3://bucket/lake.
    """,
)
console = Console()
reporter = Reporter(console)

DATA, TRAINING, SERVING = "Data", "Training", "Serving"

BreakLive = Annotated[
    bool,
    typer.Option(
        "--break-live",
        help="Apply definitions even if versions that serve do not find what they read then.",
    ),
]


def main() -> None:
    """Run the command line; an expected failure is one clear line and exit status 1."""
    live_in_utc()
    try:
        app()
    except (TrainingError, ServiceError, OSError) as error:
        _leave(str(error))
    except Exception as error:
        if (said := describe_database_error(error)) is None:
            raise
        _leave(said)


def _leave(sentence: str) -> NoReturn:
    console.print(f"[red]✗[/] {escape(sentence)}", highlight=False, soft_wrap=True)
    sys.exit(1)


@app.command(rich_help_panel=DATA)
def prepare() -> None:
    """Make the feature and label tables in the lake from the raw data.

    Runs `prepare` of the feature repo's `pipelines.prepare`. Rows that fail validation go to a
    quarantine table with the reason; their count is printed. A feature repo without pipelines
    brings its tables along.
    """
    workspace = Workspace()
    if not (workspace.feature_repo / "pipelines" / "prepare.py").exists():
        console.print("[green]✓[/] no pipelines: the tables come as they are")
        return
    with repo_modules(workspace.feature_repo), reporter.task("prepare tables"):
        try:
            from pipelines.prepare import prepare as prepare_tables
        except Exception as error:  # Whatever a user's file may raise.
            repo = workspace.feature_repo
            place = locate_error(error, repo, repo / "pipelines" / "prepare.py")
            raise SpecError(f"{place}: {describe_error(error)[0]}") from error

        report = prepare_tables(
            workspace.lake_folder, progress=lambda line: console.print(f"  {line}", highlight=False)
        )
    table = Table("table", "rows", title=f"Tables in {workspace.lake}")
    for name, rows in report.rows.items():
        table.add_row(name, f"{rows:,}")
    console.print(table)


@app.command(rich_help_panel=DATA)
def apply(break_live: BreakLive = False) -> None:
    """Register the feature repo's definitions with Feast, and what the service knows of them.

    Definitions by which a version that serves would not find what it reads are refused. What is
    removed stays online until no version that serves reads it.
    """
    from training.project.apply_definitions import apply_definitions
    from training.publish.publish_catalog import publish_catalog

    workspace = Workspace()
    refuse_mistakes(workspace, "apply")
    with reporter.task("apply feature definitions"), quiet():
        applied = apply_definitions(workspace, break_live=break_live)
    with reporter.task("publish the feature catalog"), quiet():
        catalog = publish_catalog(workspace)
    console.print(
        f"  {len(catalog.views)} views, {len(catalog.services)} feature services, "
        f"{len(catalog.push_sources)} push sources",
        highlight=False,
    )
    for told in applied.describe():
        console.print(f"[yellow]![/] {escape(told)}", highlight=False, soft_wrap=True)


@app.command(rich_help_panel=DATA)
def materialize(
    until: Annotated[
        datetime | None,
        typer.Option(help="Moment as of which values are written; the clock's time by default."),
    ] = None,
) -> None:
    """Write the latest feature values to the online store."""
    from training import pipeline

    moment = read_clock() if until is None else as_utc(until)
    with reporter.task(f"materialize until {moment:%Y-%m-%d %H:%M} UTC") as task, quiet():
        rows = pipeline.materialize(Workspace(), moment, task)
    counts = ", ".join(view if n is None else f"{view} {n:,}" for view, n in rows.items())
    console.print(f"  entities online: {counts}", highlight=False)
    if empty := [view for view, n in rows.items() if n == 0]:
        console.print(
            f"[yellow]![/] nothing online of {', '.join(empty)}: no row was known and alive at "
            f"{moment:%Y-%m-%d %H:%M} UTC; for data of the past set ZEROSKEW_CLOCK",
            highlight=False,
        )


@app.command(rich_help_panel=DATA)
def collect() -> None:
    """Bring the rows that were pushed to the service into the tables of the lake.

    The commands that read tables do so first by themselves. Exits with 1 where rows do not fit
    into their table: they wait, and are tried again each time.
    """
    workspace = Workspace()
    with reporter.task("collect pushed rows"), quiet():
        collected = workspace.collect_pushes(workspace.open_definitions())
    added = collected.added if collected else {}
    for source, n_rows in added.items():
        assert collected is not None
        console.print(
            f"  {source}: {n_rows:,} rows; {collected.repeated[source]:,} were there already",
            highlight=False,
        )
    if not added:
        console.print("  no row waited", highlight=False)
    if collected and collected.refused:
        waiting = ", ".join(
            f"{collected.n_refused[source]:,} rows of {source} ({why})"
            for source, why in collected.refused.items()
        )
        raise StepError(
            f"Got pushed rows that do not fit, but expected those of their table: {waiting}"
        )


# Here, so that help lists the commands in the order of the line.
add_training_commands(app)


@app.command("models", rich_help_panel=SERVING)
def list_models() -> None:
    """List the registered models, their versions and aliases."""
    from zeroskew.records.registry.model_registry import ModelRegistry

    registry = ModelRegistry.open(Workspace().database_url)
    table = Table("model", "version", "aliases", "model sha256", "created")
    for model in registry.list_models():
        aliases = registry.list_aliases(model)
        for row in registry.list_versions(model):
            names = ", ".join(sorted(a for a, version in aliases.items() if version == row.version))
            created = f"{row.created_at:%Y-%m-%d %H:%M}"
            table.add_row(model, str(row.version), names, row.model_sha256[:12], created)
    registry.close()
    console.print(table)


@app.command(rich_help_panel=SERVING)
def serve() -> None:
    """Serve the registered models over HTTP; settings come from ZEROSKEW_... variables."""
    _become_service()


@app.command(rich_help_panel=SERVING)
def settings() -> None:
    """Tell what the service can be set to and is, or which settings it refuses."""
    _become_service("settings")


def _become_service(*arguments: str) -> None:
    sys.stdout.flush()
    environment = Workspace().service_environment() | os.environ
    command = [sys.executable, "-m", "api", *arguments]
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell


@app.command(rich_help_panel=SERVING)
def up(
    serve_after: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Start the service at the end.")
    ] = True,
    break_live: BreakLive = False,
    allow_request_change: AllowRequestChange = False,
) -> None:
    """Do all that is needed to serve every declared model, and serve.

    What stands is reused: the steps run again only after a change to the tables, the feature
    repo, the models, the clock or Zeroskew itself, or when something of theirs is gone. On the
    system clock, and for an online store that is a server, the latest values are written every
    time.
    """
    workspace = Workspace()
    address = ServiceAddress.read()
    if serve_after:
        address.require_free()
    with _alone_in(workspace.home):
        names = declared_models()
        failed: list[str] = []
        if _stands(workspace, names):
            console.print("[green]✓[/] tables, online store and models stand")
            if clock_text() == "system" or open_online_store(workspace).measure() is None:
                materialize()
        else:
            failed = _make_all(workspace, names, break_live, allow_request_change)
    made = [name for name in names if name not in failed]
    if failed:
        console.print(
            f"[red]✗[/] {len(failed)} of {len(names)} models did not get through: "
            f"{', '.join(failed)}",
            highlight=False,
            soft_wrap=True,
        )
    if not made or (failed and not serve_after):
        raise typer.Exit(1)
    _print_first_request(load_model_spec(workspace.models, made[0]), address, serve_after)
    if serve_after:
        address.require_free()
        serve()


def _stands(workspace: Workspace, names: list[str]) -> bool:
    stamp = standing.Stamp.read(workspace)
    if (
        stamp is None
        or stamp.code != standing.digest_code(workspace, clock_text())
        or stamp.tables != standing.digest_tables(workspace)
    ):
        return False
    missing = standing.find_missing(workspace, stamp, names)
    if missing is not None:
        console.print(f"[yellow]![/] {escape(missing)}", highlight=False, soft_wrap=True)
    return missing is None


def _make_all(
    workspace: Workspace, names: list[str], break_live: bool, allow_request_change: bool
) -> list[str]:
    """Run all steps and return the models that failed, which stops none of the others.

    The stamp is of what was there before each was first read.
    """
    refused = refuse_mistakes(workspace, "up", names)
    standing.Stamp.remove(workspace)
    code = standing.digest_code(workspace, clock_text())
    migrate()
    if isinstance(workspace.lake, Path):
        prepare()
    tables = standing.digest_tables(workspace)
    apply(break_live=break_live)
    able = [name for name in names if name not in refused]
    failed = train_models(able)
    # Where a feature changed its type the plan that serves cannot read what is written now, so
    # it is written as late as can be.
    materialize()
    failed += publish_models(
        [name for name in able if name not in failed], allow_request_change=allow_request_change
    )
    standing.stamp_of(workspace, code, tables).write(workspace)
    if (code, tables) != (
        standing.digest_code(workspace, clock_text()),
        standing.digest_tables(workspace),
    ):
        console.print(
            "[yellow]![/] something was changed while this ran: what stands is of before, and the "
            "next `zeroskew up` works again",
            highlight=False,
            soft_wrap=True,
        )
    return [name for name in names if name in {*refused, *failed}]


add_check_command(app)
add_registry_commands(app)
add_access_commands(app)
add_privacy_commands(app)
add_signing_commands(app)
add_live_commands(app)
add_rollout_commands(app)
add_log_commands(app)


def _print_first_request(spec: ModelSpec, address: ServiceAddress, serve_after: bool) -> None:
    url = address.url
    body = json.dumps({"instances": [spec.example]})
    if serve_after:
        console.print(f"\nThe service answers at {url}, its pages at {url}/docs. Ask it:\n")
    else:
        console.print(f"\nAll is ready: `zeroskew serve` will answer at {url}. Then ask it:\n")
    # Written without Rich, so that a narrow terminal does not break the line.
    sys.stdout.write(
        f"curl -s {url}/v1/models/{spec.name}:predict "
        f"-H 'Content-Type: application/json' -d '{body}'\n\n"
    )


@contextlib.contextmanager
def _alone_in(home: Path) -> Iterator[None]:
    """Wait until no other `zeroskew up` works in ``home``; a killed one lets go of it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("another `zeroskew up` is at work here; waiting for it …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
