"""The report of an evaluation: a table in Markdown and a figure as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from training.evaluate.evaluate_model import MODEL, Evaluation, Scored, format_metric
from training.families.model_family import load_family
from training.fit.fit_model import FittedModel
from zeroskew.declarations.model_spec import ModelSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["write_report"]

Floats = npt.NDArray[np.float64]

N_BINS = 10
N_FEATURES = 15
N_CLASSES = 8
COLORS = {MODEL: "#1f6feb", "request_only": "#bf8700", "base_rate": "#6e7781"}


def write_report(
    folder: Path,
    spec: ModelSpec,
    evaluation: Evaluation,
    scored: Scored,
    model: FittedModel,
    columns: Sequence[str],
) -> Path:
    """Write ``report.md`` and ``report.svg`` into ``folder`` and return the former's path.

    ``columns`` are the names of the model's columns; an estimator knows their numbers alone.
    """
    _draw(folder / "report.svg", spec, scored, model, columns)
    path = folder / "report.md"
    path.write_text(_as_markdown(spec, evaluation))
    return path


def _as_markdown(spec: ModelSpec, evaluation: Evaluation) -> str:
    start, end = spec.split.spans()["test"]
    columns = {"model": evaluation.metrics, **evaluation.baselines}
    lines = [
        f"# {spec.name}",
        "",
        spec.description,
        "",
        f"Test span {start:%Y-%m-%d} to {end:%Y-%m-%d}; 95 % intervals by resampling whole days.",
        "",
        "| metric | " + " | ".join(columns) + " |",
        "| --- |" + " --- |" * len(columns),
    ]
    lines += [
        f"| {name} | "
        + " | ".join(format_metric(metrics.get(name)) for metrics in columns.values())
        + " |"
        for name in evaluation.metrics
    ]
    lines += ["", f"{evaluation.say_advantage()}."]
    if evaluation.threshold is not None:
        lines += [
            "",
            f"The label is 1 where the probability is {evaluation.threshold:.4f} or more.",
        ]
    return "\n".join([*lines, "", "![The model on the test span](report.svg)", ""])


def _draw(
    path: Path, spec: ModelSpec, scored: Scored, model: FittedModel, columns: Sequence[str]
) -> None:
    import matplotlib as mpl  # Takes half a second; only reports need it.
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": spec.name, "font.size": 9, "axes.spines.top": False}):
        figure = Figure(figsize=(13, 4), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        if spec.output.kind == "probability":
            _draw_roc(left, scored)
        elif spec.output.kind == "probabilities":
            _draw_class_rocs(left, spec, scored)
        else:
            _draw_errors(left, spec, scored)
        if spec.objective.name == "quantile":
            _draw_coverage(middle, spec, scored)
        else:
            _draw_calibration(middle, spec, scored)
        _draw_weights(right, spec, model, columns)
        figure.savefig(path, metadata={"Date": None})


def _draw_roc(axes: Axes, scored: Scored) -> None:
    for name in (MODEL, "request_only"):
        axes.plot(*_roc(scored.labels, scored.scores[name]), color=COLORS[name], label=name)
    _finish_roc(axes, "ROC")


def _draw_class_rocs(axes: Axes, spec: ModelSpec, scored: Scored) -> None:
    for number, name in list(enumerate(spec.objective.classes))[:N_CLASSES]:
        is_class = (scored.labels == number).astype(np.float64)
        axes.plot(*_roc(is_class, scored.scores[MODEL][:, number]), label=name)
    _finish_roc(axes, "ROC of a class against the others")


def _roc(labels: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Return false and true positive rates, at most some 500 points of the curve."""
    order = np.argsort(-scores, kind="stable")
    hits, misses = np.cumsum(labels[order]), np.cumsum(1.0 - labels[order])
    step = max(1, hits.size // 500)
    return (misses / misses[-1])[::step], (hits / hits[-1])[::step]


def _finish_roc(axes: Axes, title: str) -> None:
    axes.plot([0, 1], [0, 1], color=COLORS["base_rate"], linestyle=":", label="base_rate")
    axes.set(title=title, xlabel="false positive rate", ylabel="true positive rate")
    axes.legend(frameon=False)


def _draw_errors(axes: Axes, spec: ModelSpec, scored: Scored) -> None:
    for name in (MODEL, "request_only", "base_rate"):
        errors = np.sort(np.abs(scored.scores[name] - scored.labels))
        shares = np.linspace(0.0, 1.0, 200)
        axes.plot(np.quantile(errors, shares), shares, color=COLORS[name], label=name)
    limit = float(np.quantile(np.abs(scored.scores["base_rate"] - scored.labels), 0.98))
    axes.set(
        title="Share of rows within an absolute error",
        xlabel=f"absolute error ({spec.output.unit or 'units'})",
        ylabel="share of rows",
        xlim=(0, limit),
    )
    axes.legend(frameon=False)


def _draw_calibration(axes: Axes, spec: ModelSpec, scored: Scored) -> None:
    scores, labels = scored.scores[MODEL], scored.labels
    if scores.ndim == 2:
        labels = (labels[:, None] == np.arange(scores.shape[1])).astype(np.float64).ravel()
        scores = scores.ravel()
    predicted, observed = _binned(scores, labels)
    low, high = min(predicted.min(), observed.min()), max(predicted.max(), observed.max())
    axes.plot([low, high], [low, high], color=COLORS["base_rate"], linestyle=":")
    axes.plot(predicted, observed, color=COLORS[MODEL], marker="o")
    unit = (spec.output.unit or "units") if spec.output.kind == "value" else "share"
    axes.set(
        title="Calibration, ten bins of equal size",
        xlabel=f"mean prediction ({unit})",
        ylabel=f"mean outcome ({unit})",
    )


def _draw_coverage(axes: Axes, spec: ModelSpec, scored: Scored) -> None:
    scores = scored.scores[MODEL]
    predicted, covered = _binned(scores, (scored.labels <= scores).astype(np.float64))
    axes.axhline(spec.objective.level, color=COLORS["base_rate"], linestyle=":")
    axes.plot(predicted, covered, color=COLORS[MODEL], marker="o")
    axes.set(
        title="Coverage, ten bins of equal size",
        xlabel=f"mean prediction ({spec.output.unit or 'units'})",
        ylabel="share of outcomes at or below it",
        ylim=(0, 1),
    )


def _binned(scores: Floats, labels: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(scores, kind="stable")
    bins = [part for part in np.array_split(order, N_BINS) if part.size]
    return (
        np.array([scores[part].mean() for part in bins]),
        np.array([labels[part].mean() for part in bins]),
    )


def _draw_weights(axes: Axes, spec: ModelSpec, model: FittedModel, columns: Sequence[str]) -> None:
    weights = model.estimator.weigh_columns()
    top = np.argsort(weights)[-N_FEATURES:]
    shares = weights[top] / max(weights.sum(), np.finfo(np.float64).tiny)  # All may be 0.
    # A dollar sign would begin a formula.
    names = [columns[i].replace("$", r"\$") for i in top]
    axes.barh(range(len(top)), shares, color=COLORS[MODEL], tick_label=names)
    axes.tick_params(axis="y", labelsize=7)
    axes.set(title=f"Share of the {load_family(spec.family).weighed_by}", xlabel="share")
