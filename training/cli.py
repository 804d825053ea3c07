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
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.contract.utc_process import live_in_utc
from api.registry import ServiceError
from training import standing
from training.access_commands import add_access_commands
from training.errors import SpecError, TrainingError
from training.live.commands import add_live_commands
from training.live.log_commands import add_log_commands
from training.live.rollout_commands import add_rollout_commands
from training.model_spec import ModelSpec, list_model_names, load_model_spec
from training.privacy.commands import add_privacy_commands
from training.progress import Reporter, quiet
from training.registry_commands import AllowRequestChange, add_registry_commands, migrate
from training.service_address import ServiceAddress
from training.service_clock import as_utc, clock_text, read_clock
from training.signing_commands import add_signing_commands
from training.workspace import Workspace

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

ModelArgument = Annotated[
    list[str] | None, typer.Argument(help="Models to work on; all declared ones by default.")
]
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
        console.print(f"[red]✗[/] {escape(str(error))}", highlight=False, soft_wrap=True)
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
    with _feature_repo_importable(workspace), reporter.task("prepare tables"):
        from pipelines.prepare import prepare as prepare_tables

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
    from training.apply_definitions import apply_definitions
    from training.compile_catalog import publish_catalog

    workspace = Workspace()
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


@app.command(rich_help_panel=TRAINING)
def train(models: ModelArgument = None) -> None:
    """Run all training steps: dataset, fit, evaluate, export, parity."""
    from training.pipeline import TRAINING_STEPS

    for spec in _load_specs(models):
        for step in TRAINING_STEPS:
            _run_step(step.name, spec)
        _print_evaluation(spec)


@app.command(rich_help_panel=TRAINING)
def dataset(models: ModelArgument = None) -> None:
    """Join labels with features as of each prediction time, and split by time."""
    _run_step_for("dataset", models)


@app.command(rich_help_panel=TRAINING)
def fit(models: ModelArgument = None) -> None:
    """Fit LightGBM on the data set."""
    _run_step_for("fit", models)


@app.command(rich_help_panel=TRAINING)
def evaluate(models: ModelArgument = None) -> None:
    """Judge the fitted model on the test span against both baselines."""
    _run_step_for("evaluate", models)
    for spec in _load_specs(models):
        _print_evaluation(spec)


@app.command(rich_help_panel=TRAINING)
def export(models: ModelArgument = None) -> None:
    """Export the fitted model and its request-time features to ONNX."""
    _run_step_for("export", models)


@app.command(rich_help_panel=TRAINING)
def parity(models: ModelArgument = None) -> None:
    """Compare the ONNX file with LightGBM, leaf by leaf."""
    _run_step_for("parity", models)


@app.command(rich_help_panel=SERVING)
def publish(
    models: ModelArgument = None,
    alias: Annotated[str, typer.Option(help="Alias to point to the new version.")] = "champion",
    reason: Annotated[str, typer.Option(help="Why, for the registry.")] = "",
    allow_request_change: AllowRequestChange = False,
) -> None:
    """Register trained models that pass their gates, and that the service loads."""
    from training import pipeline

    for spec in _load_specs(models):
        with reporter.task(f"publish {spec.name}"):
            published = pipeline.publish(
                Workspace(),
                spec,
                alias=alias,
                reason=reason,
                allow_request_change=allow_request_change,
            )
        console.print(f"  {published.model} version {published.version} is {alias}")


@app.command("models", rich_help_panel=SERVING)
def list_models() -> None:
    """List the registered models, their versions and aliases."""
    from api.registry.model_registry import ModelRegistry

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
        specs = _load_specs(None)
        if _stands(workspace, specs):
            console.print("[green]✓[/] tables, online store and models stand")
            if clock_text() == "system" or workspace.online_store_path is None:
                materialize()
        else:
            _make_all(workspace, break_live, allow_request_change)
    _print_first_request(specs[0], address)
    if serve_after:
        address.require_free()
        serve()


def _stands(workspace: Workspace, specs: list[ModelSpec]) -> bool:
    stamp = standing.Stamp.read(workspace)
    if (
        stamp is None
        or stamp.code != standing.digest_code(workspace, clock_text())
        or stamp.tables != standing.digest_tables(workspace)
    ):
        return False
    missing = standing.find_missing(workspace, stamp, [spec.name for spec in specs])
    if missing is not None:
        console.print(f"[yellow]![/] {escape(missing)}", highlight=False, soft_wrap=True)
    return missing is None


def _make_all(workspace: Workspace, break_live: bool, allow_request_change: bool) -> None:
    """Run all steps; the stamp is of what was there before each was first read."""
    standing.Stamp.remove(workspace)
    code = standing.digest_code(workspace, clock_text())
    migrate()
    if isinstance(workspace.lake, Path):
        prepare()
    tables = standing.digest_tables(workspace)
    apply(break_live=break_live)
    train()
    # Where a feature changed its type the plan that serves cannot read what is written now, so
    # it is written as late as can be.
    materialize()
    publish(allow_request_change=allow_request_change)
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


add_registry_commands(app)
add_access_commands(app)
add_privacy_commands(app)
add_signing_commands(app)
add_live_commands(app)
add_rollout_commands(app)
add_log_commands(app)


def _load_specs(names: list[str] | None) -> list[ModelSpec]:
    folder = Workspace().models
    names = names or list_model_names(folder)
    if not names:
        raise SpecError(f"Got no model in {folder}, but expected at least one file there")
    return [load_model_spec(folder, name) for name in names]


def _run_step_for(name: str, models: list[str] | None) -> None:
    for spec in _load_specs(models):
        _run_step(name, spec)


def _run_step(name: str, spec: ModelSpec) -> None:
    from training.pipeline import TRAINING_STEPS

    step = next(step for step in TRAINING_STEPS if step.name == name)
    with reporter.task(f"{spec.name}: {name}") as task:
        outcome = step.run(Workspace(), spec, task)
    console.print(f"  {outcome}", highlight=False)


def _print_evaluation(spec: ModelSpec) -> None:
    from training.evaluate import format_metric
    from training.pipeline import load_evaluation

    evaluation = load_evaluation(Workspace(), spec)
    table = Table("metric", "model", *evaluation.baselines, title=f"{spec.name}, test span")
    for name, measured in evaluation.metrics.items():
        others = [metrics.get(name) for metrics in evaluation.baselines.values()]
        table.add_row(name, *[format_metric(metric) for metric in (measured, *others)])
    console.print(table)
    console.print(f"  {evaluation.say_advantage()}", highlight=False)
    if evaluation.threshold is not None:
        console.print(f"  label: probability >= {evaluation.threshold:.4f}", highlight=False)


def _print_first_request(spec: ModelSpec, address: ServiceAddress) -> None:
    url = address.url
    body = json.dumps({"instances": [spec.example]})
    console.print(f"\nThe service answers at {url}, its pages at {url}/docs. Ask it:\n")
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


@contextlib.contextmanager
def _feature_repo_importable(workspace: Workspace) -> Iterator[None]:
    repo = str(workspace.feature_repo.resolve())
    sys.path.insert(0, repo)
    try:
        yield
    finally:
        sys.path.remove(repo)
