"""Commands about what was served."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from training.cli.options import (
    MOST_DAYS,
    AsOf,
    End,
    Models,
    Start,
    named_models,
    or_now,
    print_table,
    span,
)
from training.cli.training import declared_models
from training.live.open_log import open_log
from training.project.progress import Reporter, quiet
from training.project.service_clock import as_utc
from training.project.workspace import Workspace
from zeroskew.contract.errors.project import SpecError
from zeroskew.declarations.model_spec import load_model_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.live.live_metrics import LiveMetrics
    from training.live.skew.find_skew import SkewReport
    from training.live.skew.skew_findings import SkewFinding

__all__ = ["metrics", "replay", "simulate", "skew"]

_console = Console()
_reporter = Reporter(_console)


def simulate(
    models: Models = None,
    start: Annotated[
        datetime | None,
        typer.Option("--from", help="Where the models' test spans begin by default; UTC."),
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--until", help="A week later by default; UTC.")
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0, help="Simulated seconds in a second; 0 is as fast as it goes.")
    ] = 0,
    folder: Annotated[
        Path | None, typer.Option(help="Where the simulation lives; var/simulation by default.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget an earlier simulation.")] = False,
) -> None:
    """Replay a span of the past as live traffic, against a real service on a simulated clock.

    Rows go online when they were created, predictions are asked for at their time, and labels
    are sent when they were known. Registry, prediction log and labels are a copy of their own.
    """
    from training.live.simulate.simulation import prepare_simulation
    from training.live.simulate.simulation import simulate as run

    workspace = Workspace()
    specs = [load_model_spec(workspace.models, name) for name in models or declared_models()]
    simulation = prepare_simulation(workspace, folder or workspace.simulation, is_fresh=fresh)
    first = max(spec.split.test_from for spec in specs) if start is None else as_utc(start)
    last = first + timedelta(days=7) if end is None else as_utc(end)
    with _reporter.task(f"simulate {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}") as task:
        report = run(workspace, simulation, specs, first, last, speed=speed, progress=task)
    predictions = ", ".join(f"{n:,} of {model}" for model, n in report.n_predictions.items())
    _console.print(
        f"  {report.n_rows:,} rows went online; {predictions}; {report.n_labels:,} labels",
        highlight=False,
    )
    _console.print(
        f"  to look at it: export ZEROSKEW_DATABASE_URL=sqlite:///{simulation.database.resolve()}",
        highlight=False,
        soft_wrap=True,
    )


def replay(models: Models = None, start: Start = None, end: End = None) -> None:
    """Compute logged predictions again, and compare them to the bit; exit 1 if one differs."""
    from training.live.replay import replay as run

    table = Table("model", "version", "predictions", title="Computed again")
    n_differing = 0
    with open_log() as log:
        for model in named_models(log.registry, models):
            with _reporter.task(f"replay {model}") as task:
                report = run(log, model, span(start, end), task)
            for version, n_rows in sorted(report.rows.items()):
                table.add_row(model, str(version), f"{n_rows:,}")
            n_differing += report.n_differing
            for answer, number, logged, replayed in report.differing:
                _console.print(
                    f"[red]✗[/] {answer} instance {number}: logged {logged}, now {replayed}",
                    highlight=False,
                )
    print_table(table)
    if n_differing:
        _console.print(f"[red]✗[/] {n_differing:,} differ", highlight=False)
        raise typer.Exit(1)
    _console.print("[green]✓[/] all equal to the bit")


def skew(
    models: Models = None,
    start: Start = None,
    end: End = None,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="The share of inputs that may be faulty.")
    ] = 0.0,
    max_behind: Annotated[
        float, typer.Option(min=0, max=1, help="The share that may be older than the table's.")
    ] = 1.0,
    days: Annotated[
        float | None,
        typer.Option(min=0, max=MOST_DAYS, help="Instead of --from: predictions of so many days."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="Where the page goes; var/skew/<model>.html by default.")
    ] = None,
) -> None:
    """Compare what models were given with the offline store as of each prediction.

    Exits with 1 if more inputs are faulty, or behind, than told.
    """
    from training.live.skew.find_skew import FAULTS, Verdict, find_skew
    from training.live.skew.skew_findings import list_findings
    from training.live.skew.skew_page import write_skew_page

    if days is not None:
        if start is not None:
            raise typer.BadParameter("Got --from and --days, but expected one of them.")
        start = or_now(end) - timedelta(days=days)
    workspace = Workspace()
    is_bad = False
    with open_log() as log:
        with quiet():
            store = workspace.open_feature_store()
        names = named_models(log.registry, models)
        if page is not None and len(names) > 1:
            raise typer.BadParameter("Got --page of several models, but expected one of one model.")
        for model in names:
            with _reporter.task(f"skew of {model}") as task:
                report = find_skew(log, store, model, span(start, end), task)
            findings = list_findings(report)
            path = page or workspace.home / "skew" / f"{model}.html"
            write_skew_page(path, report, findings)
            _print_skew(report)
            _print_findings(report, findings, path)
            is_bad |= report.share(*FAULTS) > tolerance
            is_bad |= report.share(Verdict.BEHIND) > max_behind
            # It may change no value yet, but it will.
            is_bad |= any(finding.kind == "shifted time" for finding in findings)
    if is_bad:
        raise typer.Exit(1)


def metrics(
    models: Models = None,
    start: Start = None,
    end: End = None,
    as_of: AsOf = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="version, arm, day, or a request field; may be given several times."),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Show what is labelled already, too.")
    ] = False,
) -> None:
    """Measure what was served, over predictions whose labels are mature."""
    from training.live.live_metrics import measure_live
    from training.live.outcomes import read_outcomes
    from zeroskew.declarations.objectives import objective_of_manifest

    moment = or_now(as_of)
    groups = by or ["version", "arm"]
    with open_log() as log:
        for model in named_models(log.registry, models):
            outcomes = read_outcomes(log, model, span(start, end), moment)
            if outcomes.is_empty():
                _console.print(f"{model}: nothing is logged", highlight=False)
                continue
            objectives = {
                version: objective_of_manifest(log.read_manifest(model, version))
                for version in outcomes["version"].unique()
            }
            try:
                measured = measure_live(outcomes, objectives, groups, with_estimates=estimate)
            except ValueError as error:
                raise SpecError(str(error)) from error
            _print_metrics(model, groups, measured)


def _print_metrics(model: str, groups: list[str], measured: list[LiveMetrics]) -> None:
    from training.evaluate.evaluate_model import format_metric

    names = sorted({name for one in measured for name in one.metrics})
    table = Table(*groups, "predictions", "mature", "labelled", *names, title=model)
    for one in measured:
        cells = [
            format_metric(one.metrics[name])
            if name in one.metrics and one.n_days > 1
            else f"{one.metrics[name].value:.4f}"
            if name in one.metrics
            else "—"
            for name in names
        ]
        counts = [f"{one.n_predictions:,}", f"{one.n_mature:,}"]
        if one.is_estimate:
            counts = ["an estimate, before", "maturity"]
        table.add_row(
            *["—" if one.group[name] is None else str(one.group[name]) for name in groups],
            *counts,
            f"{one.n_labelled:,} ({one.coverage:.0%})",
            *cells,
        )
    print_table(table)


def _print_findings(report: SkewReport, findings: Sequence[SkewFinding], path: Path) -> None:
    for finding in findings:
        mark = "[red]✗[/]" if finding.is_fault else "[yellow]![/]"
        text = f"{mark} {finding.kind}, {finding.subject}: {finding.text}"
        _console.print(text, highlight=False, soft_wrap=True)
    _console.print(f"  {report.n_rows:,} predictions; page in {path}", highlight=False)
    if report.n_masked:
        _console.print(
            f"[yellow]![/] {report.n_masked:,} more cannot be judged: the log masks their entity "
            "keys",
            highlight=False,
        )


def _print_skew(report: SkewReport) -> None:
    from training.live.skew.find_skew import Verdict

    table = Table("feature", *[verdict.label for verdict in Verdict], title=report.model)
    for (view, feature), one in sorted(report.features.items()):
        counts = [f"{one.count(verdict):,}" for verdict in Verdict]
        table.add_row(f"{view}:{feature}", *counts)
    print_table(table)
