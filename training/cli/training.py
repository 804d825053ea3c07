"""Commands that train and publish models: what goes wrong with one stops that one alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.cli.check import refuse_mistakes
from training.cli.options import print_table
from training.cli.registry import AllowRequestChange
from training.project.progress import Reporter
from training.project.workspace import Workspace
from zeroskew.contract.errors.project import SpecError, StepError, TrainingError
from zeroskew.contract.errors.service import ServiceError
from zeroskew.contract.rollout import CHAMPION
from zeroskew.declarations.model_spec import ModelSpec, list_model_names, load_model_spec

__all__ = [
    "dataset",
    "declared_models",
    "evaluate",
    "export",
    "fit",
    "parity",
    "publish",
    "publish_models",
    "train",
    "train_models",
]

_console = Console()
_reporter = Reporter(_console)

ModelArgument: TypeAlias = Annotated[
    list[str] | None, typer.Argument(help="Models to work on; all declared ones by default.")
]


def train(models: ModelArgument = None) -> None:
    """Run all training steps: dataset, fit, evaluate, export, parity."""
    names = models or declared_models()
    _require_all(names, train_models(names))


def dataset(models: ModelArgument = None) -> None:
    """Join labels with features as of each prediction time, and split by time."""
    _run_step_for("dataset", models)


def fit(models: ModelArgument = None) -> None:
    """Fit the model on the data set."""
    _run_step_for("fit", models)


def evaluate(models: ModelArgument = None) -> None:
    """Judge the fitted model on the test span against both baselines."""

    def work(spec: ModelSpec) -> None:
        _run_step("evaluate", spec)
        _print_evaluation(spec)

    names = models or declared_models()
    _require_all(names, _work_on_each(names, work))


def export(models: ModelArgument = None) -> None:
    """Export the fitted model and its request-time features to ONNX."""
    _run_step_for("export", models)


def parity(models: ModelArgument = None) -> None:
    """Compare the ONNX file with the fitted model, trees leaf by leaf."""
    _run_step_for("parity", models)


def publish(
    models: ModelArgument = None,
    alias: Annotated[str, typer.Option(help="Alias to point to the new version.")] = CHAMPION,
    reason: Annotated[str, typer.Option(help="Why, for the registry.")] = "",
    allow_request_change: AllowRequestChange = False,
) -> None:
    """Register trained models that pass their gates, and that the service loads."""
    names = models or declared_models()
    failed = publish_models(
        names, alias=alias, reason=reason, allow_request_change=allow_request_change
    )
    _require_all(names, failed)


def declared_models() -> list[str]:
    """Return the names of all declared models.

    Raises
    ------
    SpecError
        If there is none.
    """
    folder = Workspace().models
    names = list_model_names(folder)
    if not names:
        raise SpecError(f"Got no model in {folder}, but expected at least one file there")
    return names


def train_models(names: Sequence[str]) -> list[str]:
    """Check models and run all training steps on them; return those that did not get through."""
    from training.pipeline import TRAINING_STEPS

    def work(spec: ModelSpec) -> None:
        for step in TRAINING_STEPS:
            _run_step(step.name, spec)
        _print_evaluation(spec)

    refused = refuse_mistakes(Workspace(), "train", names)
    failed = _work_on_each([name for name in names if name not in refused], work)
    return [name for name in names if name in {*refused, *failed}]


def publish_models(
    names: Sequence[str],
    *,
    alias: str = CHAMPION,
    reason: str = "",
    allow_request_change: bool = False,
) -> list[str]:
    """Register trained models; return the names of those that were refused."""
    from training import pipeline

    def work(spec: ModelSpec) -> None:
        with _reporter.task(f"publish {spec.name}"):
            published = pipeline.publish(
                Workspace(),
                spec,
                alias=alias,
                reason=reason,
                allow_request_change=allow_request_change,
            )
        _console.print(f"  {published.model} version {published.version} is {alias}")

    return _work_on_each(names, work)


def _work_on_each(names: Sequence[str], work: Callable[[ModelSpec], None]) -> list[str]:
    """Return the names of the models that failed; of each a line is printed."""
    folder = Workspace().models
    failed = []
    for name in names:
        try:
            work(load_model_spec(folder, name))
        except (TrainingError, ServiceError) as error:
            _console.print(
                f"[red]✗[/] {escape(f'{name}: {error}')}", highlight=False, soft_wrap=True
            )
            failed.append(name)
    return failed


def _require_all(names: Sequence[str], failed: Sequence[str]) -> None:
    if failed:
        raise StepError(
            f"Got {len(failed)} of {len(names)} models that did not get through: "
            + ", ".join(failed)
        )


def _run_step_for(name: str, models: Sequence[str] | None) -> None:
    names = models or declared_models()
    _require_all(names, _work_on_each(names, lambda spec: _run_step(name, spec)))


def _run_step(name: str, spec: ModelSpec) -> None:
    from training.pipeline import TRAINING_STEPS

    step = next(step for step in TRAINING_STEPS if step.name == name)
    with _reporter.task(f"{spec.name}: {name}") as task:
        outcome = step.run(Workspace(), spec, task)
    _console.print(f"  {outcome}", highlight=False)


def _print_evaluation(spec: ModelSpec) -> None:
    from training.evaluate.evaluate_model import format_metric
    from training.project.step_files import load_evaluation

    evaluation = load_evaluation(Workspace(), spec)
    table = Table("metric", "model", *evaluation.baselines, title=f"{spec.name}, test span")
    for name, measured in evaluation.metrics.items():
        others = [metrics.get(name) for metrics in evaluation.baselines.values()]
        table.add_row(name, *[format_metric(metric) for metric in (measured, *others)])
    print_table(table)
    _console.print(f"  {evaluation.say_advantage()}", highlight=False)
    if evaluation.threshold is not None:
        _console.print(f"  label: probability >= {evaluation.threshold:.4f}", highlight=False)
