"""Judge a model on the test span against two baselines, and hold it to its gates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict

from api.contract.manifest import Metric
from training.dataset import EVENT_TIMESTAMP, Dataset
from training.errors import GateError
from training.fit import FittedModel, NothingLearntError, fit_model, request_only_dataset
from training.metrics import classification_metrics, regression_metrics
from training.model_spec import Gate, ModelSpec
from training.parameters import drop_columns

__all__ = ["Evaluation", "Scored", "check_gates", "evaluate_model", "format_metric"]

HIGHER_IS_BETTER = ("auc", "accuracy", "precision", "recall", "f1")
MODEL = "model"


class Evaluation(BaseModel):
    """Metrics on the test span of the model and of each baseline, with their intervals."""

    model_config = ConfigDict(frozen=True)

    metrics: dict[str, Metric]
    baselines: dict[str, dict[str, Metric]]
    threshold: float | None


@dataclass(frozen=True)
class Scored:
    """The test span's labels and scores, all float64 ``(n_rows,)``, for drawing."""

    labels: npt.NDArray[np.float64]
    scores: dict[str, npt.NDArray[np.float64]]


def evaluate_model(
    spec: ModelSpec, dataset: Dataset, model: FittedModel
) -> tuple[Evaluation, Scored]:
    """Score the test span with the model and both baselines.

    ``base_rate`` answers the mean label of the rows before the test span, which for a
    probability is the share of positives. ``request_only`` is the same learner on the
    request's own columns, as it would be without a feature store; where there is nothing to
    learn from them, it is the base rate again.
    """
    request_only = request_only_dataset(spec, dataset)
    request_model = _fit_request_only(spec, request_only)
    features, labels = dataset.matrix("test")
    _, seen = dataset.matrix("train", "validation")
    constant = float(np.mean(seen))
    scores = {
        MODEL: model.predict(features),
        "base_rate": np.full(labels.size, constant),
    }
    scores["request_only"] = (
        request_model.predict(request_only.matrix("test")[0])
        if request_model
        else scores["base_rate"]
    )
    thresholds = {
        MODEL: model.threshold,
        "base_rate": model.threshold,
        "request_only": request_model.threshold if request_model else model.threshold,
    }
    days = dataset.rows.filter(dataset.span("test"))[EVENT_TIMESTAMP].dt.epoch("d")
    measured = {
        name: _measure(labels, scored, days.cast(pl.Int64).to_numpy(), thresholds[name])
        for name, scored in scores.items()
    }
    evaluation = Evaluation(
        metrics=measured.pop(MODEL), baselines=measured, threshold=model.threshold
    )
    return evaluation, Scored(labels=labels, scores=scores)


def _fit_request_only(spec: ModelSpec, dataset: Dataset) -> FittedModel | None:
    """Return the baseline, or ``None`` where its columns give nothing to learn."""
    if not dataset.columns:
        return None
    parameters = drop_columns(spec.parameters, has_text=bool(dataset.categorical))
    try:
        return fit_model(spec.model_copy(update={"parameters": parameters}), dataset)
    except NothingLearntError:
        return None


def check_gates(spec: ModelSpec, evaluation: Evaluation) -> None:
    """Raise unless the model meets every gate of ``spec``.

    Raises
    ------
    GateError
        Naming each condition that failed, with what was measured.
    """
    failures = [text for gate in spec.gates for text in _failures(gate, evaluation)]
    if failures:
        raise GateError(f"{spec.name} is not good enough: " + "; ".join(failures))


def format_metric(metric: Metric) -> str:
    """Return a metric with its interval as people read it."""
    return f"{metric.value:.4f} [{metric.low:.4f}, {metric.high:.4f}]"


def _failures(gate: Gate, evaluation: Evaluation) -> list[str]:
    measured = evaluation.metrics.get(gate.metric)
    if measured is None:
        return [f"got no metric {gate.metric!r}, but expected one of {sorted(evaluation.metrics)}"]
    name, failures = gate.metric, []
    if gate.at_least is not None and not measured.value >= gate.at_least:
        failures.append(f"got {name} {measured.value:.4f}, but expected at least {gate.at_least}")
    if gate.at_most is not None and not measured.value <= gate.at_most:
        failures.append(f"got {name} {measured.value:.4f}, but expected at most {gate.at_most}")
    for baseline in gate.beats:
        other = evaluation.baselines[baseline][name]
        if not _beats(name, measured, other):
            failures.append(
                f"got {name} [{measured.low:.4f}, {measured.high:.4f}], but expected an interval "
                f"better than [{other.low:.4f}, {other.high:.4f}] of {baseline}"
            )
    return failures


def _beats(name: str, measured: Metric, other: Metric) -> bool:
    if name in HIGHER_IS_BETTER:
        return measured.low > other.high
    return measured.high < other.low


def _measure(
    labels: npt.NDArray[np.float64],
    scores: npt.NDArray[np.float64],
    days: npt.NDArray[np.int64],
    threshold: float | None,
) -> dict[str, Metric]:
    if threshold is None:
        return regression_metrics(labels, scores, days)
    return classification_metrics(labels, scores, days, threshold)
