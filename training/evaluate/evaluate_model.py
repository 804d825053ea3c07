"""Judge a model on the test span against two baselines, and hold it to its gates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict

from training.dataset.build_dataset import Dataset
from training.evaluate.metrics import best_constant, compare_losses, measure_scores
from training.families.model_family import NothingLearntError
from training.fit.fit_model import FittedModel, fit_model, request_only_dataset
from zeroskew.contract.errors.project import GateError
from zeroskew.contract.label_columns import EVENT_TIMESTAMP
from zeroskew.contract.manifest import Metric
from zeroskew.declarations.families import load_parameter_rules
from zeroskew.declarations.model_spec import Gate, ModelSpec

__all__ = ["Evaluation", "Scored", "check_gates", "evaluate_model", "format_metric"]

HIGHER_IS_BETTER = ("auc", "accuracy", "precision", "recall", "f1", "macro_f1", "macro_auc")
MODEL = "model"
N_GROUPS_OF_ONE_DAY = 1_000


class Evaluation(BaseModel):
    """Metrics on the test span of the model and of each baseline, with their intervals.

    ``judged_by`` names the objective's own metric, of which less is better, and ``over_base_rate``
    is the model's less that of the base rate, measured on the same days.
    """

    model_config = ConfigDict(frozen=True)

    metrics: dict[str, Metric]
    baselines: dict[str, dict[str, Metric]]
    threshold: float | None
    judged_by: str
    over_base_rate: Metric

    def say_advantage(self) -> str:
        """Return what the model has over its base rate, as people read it."""
        return (
            f"{self.judged_by} less that of base_rate on the same days: "
            f"{format_metric(self.over_base_rate)}"
        )


@dataclass(frozen=True)
class Scored:
    """The test span's labels and scores, for drawing.

    All are float64 ``(n_rows,)``; scores of classes ``(n_rows, n_classes)``.
    """

    labels: npt.NDArray[np.float64]
    scores: dict[str, npt.NDArray[np.float64]]


def evaluate_model(
    spec: ModelSpec, dataset: Dataset, model: FittedModel
) -> tuple[Evaluation, Scored]:
    """Score the test span with the model and both baselines.

    ``base_rate`` answers what fits the labels before the test span best without a feature, by
    `best_constant`: their mean, share, classes' shares, median or quantile. ``request_only`` is
    the same learner on the request's own columns, as it would be without a feature store;
    where there is nothing to learn from them, it is the base rate again.
    """
    objective = spec.objective
    request_only = request_only_dataset(spec, dataset)
    request_model = _fit_request_only(spec, request_only)
    features, labels = dataset.matrix("test")
    _, seen = dataset.matrix("train", "validation")
    constant = best_constant(objective, seen)
    scores = {
        MODEL: model.estimator.predict(features),
        "base_rate": np.broadcast_to(constant, labels.shape + constant.shape),
    }
    scores["request_only"] = (
        request_model.estimator.predict(request_only.matrix("test")[0])
        if request_model
        else scores["base_rate"]
    )
    thresholds = {
        MODEL: model.threshold,
        "base_rate": model.threshold,
        "request_only": request_model.threshold if request_model else model.threshold,
    }
    days = _group_rows(dataset.rows.filter(dataset.span("test"))[EVENT_TIMESTAMP])
    measured = {
        name: measure_scores(objective, labels, scored, days, thresholds[name])
        for name, scored in scores.items()
    }
    evaluation = Evaluation(
        metrics=measured.pop(MODEL),
        baselines=measured,
        threshold=model.threshold,
        judged_by=objective.metric,
        over_base_rate=compare_losses(objective, labels, scores[MODEL], scores["base_rate"], days),
    )
    return evaluation, Scored(labels=labels, scores=scores)


def _fit_request_only(spec: ModelSpec, dataset: Dataset) -> FittedModel | None:
    """Return the baseline, or ``None`` where its columns give nothing to learn."""
    if not dataset.columns:
        return None
    rules = load_parameter_rules(spec.family)
    parameters = rules.drop_columns(spec.parameters, has_text=bool(dataset.categorical))
    try:
        return fit_model(spec.model_copy(update={"parameters": parameters}), dataset)
    except NothingLearntError:
        return None


def check_gates(spec: ModelSpec, evaluation: Evaluation) -> None:
    """Raise unless the model beats its base rate, and meets every gate of ``spec``.

    The base rate is beaten where the whole interval of the difference is on the better side of 0,
    unless ``spec`` says that it need not be.

    Raises
    ------
    GateError
        Naming each condition that failed, with what was measured.
    """
    failures = [text for gate in spec.gates for text in _failures(gate, evaluation)]
    if spec.must_beat_base_rate and not evaluation.over_base_rate.high < 0:
        failures.insert(
            0,
            f"got {evaluation.say_advantage()}, but expected it all below 0, or "
            "must_beat_base_rate=False",
        )
    if failures:
        raise GateError(f"{spec.name} is not good enough: " + "; ".join(failures))


def format_metric(metric: Metric | None) -> str:
    """Return a metric with its interval as people read it; one that is not defined as a dash."""
    if metric is None:
        return "—"
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
        other = evaluation.baselines[baseline].get(name)
        if other is None:
            failures.append(f"got no {name} of {baseline} to compare with, but expected one")
        elif not _beats(name, measured, other):
            failures.append(
                f"got {name} [{measured.low:.4f}, {measured.high:.4f}], but expected an interval "
                f"better than [{other.low:.4f}, {other.high:.4f}] of {baseline}"
            )
    return failures


def _beats(name: str, measured: Metric, other: Metric) -> bool:
    if name in HIGHER_IS_BETTER:
        return measured.low > other.high
    return measured.high < other.low


def _group_rows(times: pl.Series) -> npt.NDArray[np.int64]:
    """Return for each row the number of its day, int64 ``(n_rows,)``.

    Rows of a single day, of which no draw would differ from another, get a group each, up to
    `N_GROUPS_OF_ONE_DAY`.
    """
    days = times.dt.epoch("d").cast(pl.Int64).to_numpy()
    if days.min() < days.max():
        return days
    return np.arange(days.size, dtype=np.int64) % N_GROUPS_OF_ONE_DAY
