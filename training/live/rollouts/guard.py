"""Judges the arms and shadows of a rollout once: promote, hold, or roll back.

A limit is passed only where the evidence says so beyond chance: every judgement of a rollout
spends a part of its error rate, and all limits together no more than that. What is ended stays
ended, so a rollout never flaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from training.evaluate.metrics import log_losses, pinball_losses
from training.live.rollouts.statistics import (
    binomial_bounds,
    compare_means,
    population_stability,
    spend_error_rate,
)
from zeroskew.contract.rollout import GuardedMetric, Limits

__all__ = ["LOSSES", "ArmEvidence", "GuardFinding", "Judgement", "judge_arm", "losses_of"]

Floats = npt.NDArray[np.float64]
Decision = Literal["promote", "hold", "roll_back"]

_P99: Final = 0.01

LOSSES: Final = {
    "probability": ("log_loss", "brier", "error"),
    "value": ("mae", "mse", "pinball"),
    "probabilities": ("log_loss", "error"),
}
"""By the output's kind, what a rollout can be judged by: means over rows, less is better."""


@dataclass(frozen=True, eq=False)
class ArmEvidence:
    """What is known of an arm or a shadow since its rollout was set.

    ``latency_ms`` and ``scores`` are float64 ``(n_rows,)``. ``n_failed`` of ``n_asked`` instances
    failed. ``losses`` and ``keys`` are of the rows that are mature and labelled. For a shadow
    ``n_compared`` of its rows stand beside an answer, and ``n_disagreeing`` say something else.
    ``skew_rate`` is the share of its inputs that are faulty, ``None`` where it is not known.
    """

    name: str
    n_asked: int
    n_failed: int
    latency_ms: Floats
    scores: Floats
    losses: Floats
    keys: Sequence[str]
    n_compared: int = 0
    n_disagreeing: int = 0
    skew_rate: float | None = None


@dataclass(frozen=True)
class GuardFinding:
    """What one limit comes to."""

    limit: str
    decision: Decision
    text: str


@dataclass(frozen=True)
class Judgement:
    """What becomes of an arm, by which findings; ``look`` is its number for this rollout."""

    name: str
    decision: Decision
    look: int
    findings: tuple[GuardFinding, ...]

    @property
    def reason(self) -> str:
        """The findings in words, those that decided first."""
        ordered = sorted(self.findings, key=lambda one: one.decision != self.decision)
        return "; ".join(one.text for one in ordered) or "No limit is set."


def judge_arm(
    arm: ArmEvidence, champion: ArmEvidence, limits: Limits, look: int, *, is_shadow: bool = False
) -> Judgement:
    """Judge an arm or a shadow against the champion.

    Parameters
    ----------
    look
        The number of this judgement since the rollout was set, from 1.

    Returns
    -------
    Judgement
        ``roll_back`` if any limit is passed; ``promote`` if the metric is shown to hold and no
        other limit is passed; else ``hold``.
    """
    n_limits = sum(
        getattr(limits, name) is not None for name in type(limits).model_fields if name in _JUDGED
    )
    error_rate = spend_error_rate(limits.error_rate, look) / max(1, n_limits)
    findings = [
        *_judge_errors(arm, limits, error_rate),
        *_judge_latency(arm, limits, error_rate, is_shadow=is_shadow),
        *_judge_disagreement(arm, limits, error_rate),
        *_judge_skew(arm, limits),
        *_judge_drift(arm, champion, limits, error_rate),
    ]
    if limits.metric is not None and not is_shadow:
        findings.append(_judge_metric(arm, champion, limits.metric, error_rate))
    decisions = {one.decision for one in findings}
    decision: Decision = "hold"
    if "roll_back" in decisions:
        decision = "roll_back"
    elif "promote" in decisions and _has_enough(arm.n_asked, limits):
        decision = "promote"
    return Judgement(arm.name, decision, look, tuple(findings))


_JUDGED: Final = (
    *("max_error_rate", "max_p99_ms", "max_shadow_disagreement", "max_score_psi", "metric"),
)


def losses_of(
    metric: str,
    labels: Floats,
    scores: Floats,
    thresholds: Floats | None,
    probabilities: Floats | None = None,
    level: float = 0.5,
) -> Floats:
    """Return each row's loss, of which the metric is the mean.

    Parameters
    ----------
    metric
        One of `LOSSES`; ``error`` is 1 where the label is another than the predicted one.
    thresholds
        Of a probability, from which on a row counts as 1.
    probabilities
        Of classes, what each row's own class was given.
    level
        Of ``pinball``, the quantile that was to be predicted.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    if metric == "mae":
        return np.abs(scores - labels)
    if metric == "pinball":
        return pinball_losses(labels, scores, level)
    if metric in ("mse", "brier"):
        return (scores - labels) ** 2
    if metric == "log_loss":
        if probabilities is not None:
            labels, scores = np.ones_like(probabilities), probabilities
        return log_losses(labels, scores)
    if metric == "error":
        if thresholds is None:
            return (scores != labels).astype(np.float64)
        # A label between 0 and 1 is that share of a positive row.
        return np.abs((scores >= thresholds).astype(np.float64) - labels)
    known = sorted({name for names in LOSSES.values() for name in names})
    raise ValueError(f"Got metric {metric!r}, but expected one of {', '.join(known)}.")


def _has_enough(n: int, limits: Limits) -> bool:
    return n >= limits.min_predictions


def _judge_errors(arm: ArmEvidence, limits: Limits, error_rate: float) -> list[GuardFinding]:
    limit = limits.max_error_rate
    if limit is None:
        return []
    low, _ = binomial_bounds(arm.n_failed, arm.n_asked, error_rate) if arm.n_asked else (0.0, 1.0)
    said = f"{arm.n_failed:,} of {arm.n_asked:,} failed, of at most {limit:.3%}"
    return [_past("errors", said, is_past=low > limit and _has_enough(arm.n_asked, limits))]


def _judge_latency(
    arm: ArmEvidence, limits: Limits, error_rate: float, *, is_shadow: bool
) -> list[GuardFinding]:
    limit = limits.max_p99_ms
    if limit is None or is_shadow:  # A shadow takes its time; nobody waits for it.
        return []
    n_slow = int((arm.latency_ms > limit).sum())
    low, _ = binomial_bounds(n_slow, max(1, arm.latency_ms.size), error_rate)
    said = f"{n_slow:,} of {arm.latency_ms.size:,} took longer than {limit:g} ms, of at most 1 %"
    return [_past("latency", said, is_past=low > _P99 and _has_enough(arm.n_asked, limits))]


def _judge_disagreement(arm: ArmEvidence, limits: Limits, error_rate: float) -> list[GuardFinding]:
    limit = limits.max_shadow_disagreement
    if limit is None or not arm.n_compared:
        return []
    low, _ = binomial_bounds(arm.n_disagreeing, arm.n_compared, error_rate)
    said = f"{arm.n_disagreeing:,} of {arm.n_compared:,} say something else, of at most {limit:.3%}"
    is_past = low > limit and _has_enough(arm.n_compared, limits)
    return [_past("shadow disagreement", said, is_past=is_past)]


def _judge_skew(arm: ArmEvidence, limits: Limits) -> list[GuardFinding]:
    limit, rate = limits.max_skew_rate, arm.skew_rate
    if limit is None or rate is None:
        return []
    # Each faulty input is a fact, not a sample.
    said = f"{rate:.3%} of its inputs are faulty, of at most {limit:.3%}"
    return [_past("skew", said, is_past=rate > limit and _has_enough(arm.n_asked, limits))]


def _judge_drift(
    arm: ArmEvidence, champion: ArmEvidence, limits: Limits, error_rate: float
) -> list[GuardFinding]:
    limit = limits.max_score_psi
    if limit is None or not arm.scores.size or not champion.scores.size:
        return []
    index, by_chance = population_stability(arm.scores, champion.scores, error_rate)
    said = f"PSI of scores {index:.3f}, by chance up to {by_chance:.3f}, of at most {limit:g}"
    is_past = index > limit + by_chance and _has_enough(arm.n_asked, limits)
    return [_past("drift of scores", said, is_past=is_past)]


def _judge_metric(
    arm: ArmEvidence, champion: ArmEvidence, metric: GuardedMetric, error_rate: float
) -> GuardFinding:
    fewest = min(arm.losses.size, champion.losses.size)
    if fewest < metric.min_labels:
        said = f"{fewest:,} mature labels, of at least {metric.min_labels:,}"
        return GuardFinding("metric", "hold", said)
    difference = compare_means(arm.losses, champion.losses, arm.keys, champion.keys)
    low, high = difference.bounds(error_rate)
    said = (
        f"{metric.name} {arm.losses.mean():.5g} against {champion.losses.mean():.5g}: "
        f"{difference.value:+.5g} [{low:+.5g}, {high:+.5g}], of at most {metric.margin:+g}"
    )
    if low > metric.margin:
        return GuardFinding("metric", "roll_back", said)
    return GuardFinding("metric", "promote" if high <= metric.margin else "hold", said)


def _past(limit: str, said: str, *, is_past: bool) -> GuardFinding:
    return GuardFinding(limit, "roll_back" if is_past else "hold", f"{limit}: {said}")
