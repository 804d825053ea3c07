"""The jobs that act on rollouts: `guard_rollout` judges one, `move_bandit` moves its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import polars as pl

from training.live.logged_predictions import Span, count_by_arm
from training.live.open_log import LiveLog
from training.live.outcomes import read_outcomes
from training.live.rollouts.bandit import bound_weights, move_weights, rewards_of
from training.live.rollouts.guard import LOSSES, ArmEvidence, Judgement, judge_arm, losses_of
from zeroskew.contract.arm_choice import list_sticky_fields
from zeroskew.contract.errors.project import StepError
from zeroskew.contract.manifest import Manifest
from zeroskew.contract.rollout import CHAMPION, Arm, Limits, Rollout, Shadow
from zeroskew.declarations.objectives import objective_of_manifest
from zeroskew.records.registry.model_registry import ModelRegistry
from zeroskew.records.registry.registered_version import RegisteredRollout

__all__ = ["guard_rollout", "move_bandit"]

SkewRate = Callable[[Span], float]
_MAX_LOOKS: Final = 10_000
_SPREADS_APART: Final = 0.1
"""From how many standard deviations of the champion's scores on two values say something else."""


def guard_rollout(
    log: LiveLog,
    model: str,
    as_of: datetime,
    *,
    actor: str,
    skew_rate: SkewRate | None = None,
    is_trial: bool = False,
) -> list[Judgement]:
    """Judge each arm and shadow of a model's rollout once, and act on it.

    A canary that is rolled back ends the rollout; one that is promoted becomes the champion. An
    arm of another kind that is rolled back gives its weight to the champion, and a shadow goes.
    Each judgement stands in the registry's history with its reason. Evidence is what was logged
    since the rollout was last set, with the labels that were observed until `as_of`.

    Parameters
    ----------
    skew_rate
        Returns the share of faulty inputs in a span; asked only where there is a limit.
    is_trial
        Whether to judge only, and neither to note it nor to act.

    Raises
    ------
    StepError
        If the rollout names no limits, or a metric that cannot be judged.
    UnknownRolloutError
        If the model has no rollout.
    """
    registered = log.registry.get_rollout(model)
    rollout = registered.rollout
    if rollout.limits is None:
        raise StepError(f"Got a rollout of {model} without limits, but expected some to judge by")
    champion_version = log.resolve(model, rollout.arms[0])
    manifest = log.read_manifest(model, champion_version)
    _check_metric(rollout.limits, manifest)
    gathered = _gather(log, model, registered, manifest, as_of)
    looks = _count_looks(log.registry, model)
    judgements = []
    champion = gathered[rollout.arms[0].name]
    targets: list[Arm | Shadow] = [*rollout.arms[1:], *rollout.shadows]
    for target in targets:
        evidence = gathered[target.name]
        version = log.resolve(model, target)
        if rollout.limits.max_skew_rate is not None and skew_rate is not None:
            rate = skew_rate(Span(logged_from=registered.updated_at, version=version))
            evidence = replace(evidence, skew_rate=rate)
        look = looks.get((target.name, version), 0) + 1
        is_shadow = isinstance(target, Shadow)
        judgement = judge_arm(evidence, champion, rollout.limits, look, is_shadow=is_shadow)
        judgements.append(judgement)
        if not is_trial:
            _record(log.registry, model, registered, version, judgement, actor)
    if not is_trial:
        _act(log, model, registered, judgements, actor)
    return judgements


def move_bandit(
    log: LiveLog, model: str, as_of: datetime, *, actor: str, is_trial: bool = False
) -> tuple[Rollout, dict[str, int], Rollout | None]:
    """Move the weights of a bandit by the mature labels of its arms.

    Labels count whenever their prediction was made: what an arm has earned is not forgotten when
    its weight moves.

    Returns
    -------
    before, n_labels, after
        The rollout, how many labels each arm has, and the new rollout, ``None`` where it stays.

    Raises
    ------
    StepError
        If the rollout is no bandit.
    UnknownRolloutError
        If the model has no rollout.
    """
    registered = log.registry.get_rollout(model)
    rollout = registered.rollout
    if rollout.bandit is None:
        raise StepError(f"Got a rollout of {model} of kind {rollout.kind}, but expected a bandit")
    outcomes = read_outcomes(log, model, Span(), as_of)
    rewards = {}
    for arm in rollout.arms:
        rows = _of_arm(outcomes, arm.name, log.resolve(model, arm))
        mature = _mature(rows)
        rewards[arm.name] = (
            rewards_of(rollout.bandit.reward, *_columns(mature)) if mature.height else np.empty(0)
        )
    counts = {name: values.size for name, values in rewards.items()}
    weights = move_weights(rollout.bandit, rewards)
    if weights is None or weights == {arm.name: arm.weight for arm in rollout.arms}:
        return rollout, counts, None
    arms = tuple(arm.model_copy(update={"weight": weights[arm.name]}) for arm in rollout.arms)
    moved = rollout.model_copy(update={"arms": arms})
    if not is_trial:
        reason = "Thompson sampling: " + ", ".join(
            f"{name} {rewards[name].mean():.4g} of {n:,} labels" for name, n in counts.items()
        )
        log.registry.set_rollout(
            model, moved, actor=actor, reason=reason, if_match=registered.revision
        )
    return rollout, counts, moved


def _gather(
    log: LiveLog, model: str, registered: RegisteredRollout, manifest: Manifest, as_of: datetime
) -> dict[str, ArmEvidence]:
    """Return the evidence on each arm and shadow."""
    rollout, since = registered.rollout, Span(logged_from=registered.updated_at)
    keys = [f"request.{name}" for name in list_sticky_fields(rollout, manifest)]
    # All arms are held to the quantile that the champion was to predict.
    level = objective_of_manifest(manifest).level
    found = {}
    answers = pl.DataFrame()
    for role, targets in (("answer", rollout.arms), ("shadow", rollout.shadows)):
        if not targets:
            continue
        outcomes = read_outcomes(log, model, since, as_of, role=role)
        counts = count_by_arm(log, model, since, role=role)
        for target in targets:
            version = log.resolve(model, target)
            rows = _of_arm(outcomes, target.name, version)
            counted = counts.get((target.name, version), (0, 0))
            compared = _compare(rows, answers, manifest) if role == "shadow" else (0, 0)
            found[target.name] = _to_evidence(
                target.name, rows, counted, compared, rollout, keys, level
            )
        if role == "answer":
            answers = outcomes
    return found


def _to_evidence(
    name: str,
    rows: pl.DataFrame,
    counts: tuple[int, int],
    compared: tuple[int, int],
    rollout: Rollout,
    keys: Sequence[str],
    level: float,
) -> ArmEvidence:
    mature = _mature(rows)
    metric = None if rollout.limits is None else rollout.limits.metric
    losses: Any = np.empty(0)
    if metric is not None and mature.height:
        of_labels = _probabilities_of_labels(mature)
        losses = losses_of(metric.name, *_columns(mature), of_labels, level)
    return ArmEvidence(
        name=name,
        n_asked=counts[0],
        n_failed=counts[1],
        latency_ms=rows["latency_us"].to_numpy() / 1e3 if rows.height else np.empty(0),
        scores=rows["score"].to_numpy() if rows.height else np.empty(0),
        losses=losses,
        keys=_join_keys(mature, keys),
        n_compared=compared[0],
        n_disagreeing=compared[1],
    )


def _compare(rows: pl.DataFrame, answers: pl.DataFrame, manifest: Manifest) -> tuple[int, int]:
    """Return how many rows of a shadow stand beside an answer, and how many say something else."""
    if rows.is_empty() or answers.is_empty():
        return 0, 0
    beside = rows.join(answers, on=["id", "row"], suffix="_answer")
    ours, theirs = beside["score"], beside["score_answer"]
    if manifest.output.kind == "probability":
        differs = (ours >= beside["hit_threshold"]) != (theirs >= beside["hit_threshold_answer"])
    elif manifest.output.kind == "value":
        spread = float(np.std(answers["score"].to_numpy()))
        differs = (ours - theirs).abs() > _SPREADS_APART * spread
    else:
        differs = ours != theirs
    return beside.height, int(differs.sum())


def _of_arm(outcomes: pl.DataFrame, name: str, version: int) -> pl.DataFrame:
    if outcomes.is_empty():
        return outcomes
    return outcomes.filter((pl.col("arm") == name) & (pl.col("version") == version))


def _mature(rows: pl.DataFrame) -> pl.DataFrame:
    if rows.is_empty():
        return rows
    return rows.filter(pl.col("is_mature") & pl.col("label").is_not_null())


def _columns(rows: pl.DataFrame) -> tuple[Any, Any, Any]:
    """Return labels, scores, and thresholds where there are some."""
    thresholds = rows["hit_threshold"]
    has_none = thresholds.null_count() == rows.height
    return (
        rows["label"].to_numpy(),
        rows["score"].to_numpy(),
        None if has_none else thresholds.to_numpy(),
    )


def _probabilities_of_labels(rows: pl.DataFrame) -> Any:
    """Return what each row's own class was given, float64 ``(n_rows,)``; ``None`` but for classes.

    A class that the version does not know was given nothing.
    """
    if rows["probabilities"].null_count() == rows.height:
        return None
    place = pl.col("label").cast(pl.Int64)
    given = pl.col("probabilities").list.get(place.clip(lower_bound=0), null_on_oob=True)
    return rows.select(pl.when(place >= 0).then(given).otherwise(0.0)).to_series().to_numpy()


def _join_keys(rows: pl.DataFrame, keys: Sequence[str]) -> list[str]:
    if rows.is_empty():
        return []
    parts = [pl.col(key).cast(pl.String).fill_null("\0") for key in keys]
    return rows.select(pl.concat_str(parts, separator="\x1f"))[:, 0].to_list()


def _check_metric(limits: Limits, manifest: Manifest) -> None:
    is_quantile = objective_of_manifest(manifest).name == "quantile"
    known = [name for name in LOSSES[manifest.output.kind] if is_quantile or name != "pinball"]
    if limits.metric is not None and limits.metric.name not in known:
        raise StepError(
            f"Got metric {limits.metric.name!r} in the limits of {manifest.model}, but expected "
            f"one of {', '.join(known)}"
        )


def _count_looks(registry: ModelRegistry, model: str) -> dict[tuple[str, int], int]:
    """Return how often each arm and version was judged since there was last no rollout."""
    looks: dict[tuple[str, int], int] = {}
    for change in registry.list_changes(model, limit=_MAX_LOOKS):
        if change.action == "delete_rollout":
            break
        if change.action == "judge":
            key = (change.subject, int(change.after["version"]))
            looks[key] = looks.get(key, 0) + 1
    return looks


def _record(
    registry: ModelRegistry,
    model: str,
    registered: RegisteredRollout,
    version: int,
    judgement: Judgement,
    actor: str,
) -> None:
    after = {
        "decision": judgement.decision,
        "look": judgement.look,
        "rollout_revision": registered.revision,
        "version": version,
    }
    registry.record_judgement(model, judgement.name, after, actor=actor, reason=judgement.reason)


def _act(
    log: LiveLog,
    model: str,
    registered: RegisteredRollout,
    judgements: Sequence[Judgement],
    actor: str,
) -> None:
    rollout, revision = registered.rollout, registered.revision
    decided = {one.name: one for one in judgements}
    ended = {name for name, one in decided.items() if one.decision == "roll_back"}
    reason = "; ".join(f"{name}: {decided[name].reason}" for name in sorted(ended))
    if rollout.kind == "canary" and len(rollout.arms) > 1:
        candidate = rollout.arms[1]
        judgement = decided[candidate.name]
        if judgement.decision != "hold":
            # Whoever ends the rollout first, and only he, moves the champion.
            log.registry.delete_rollout(
                model, actor=actor, reason=judgement.reason, if_match=revision
            )
        if judgement.decision == "promote":
            log.registry.set_alias(
                model,
                CHAMPION,
                log.resolve(model, candidate),
                actor=actor,
                reason=judgement.reason,
            )
        if judgement.decision != "hold":
            return
    if not ended:
        return
    rest = _without(rollout, ended)
    if rest is None:
        log.registry.delete_rollout(model, actor=actor, reason=reason, if_match=revision)
    else:
        log.registry.set_rollout(model, rest, actor=actor, reason=reason, if_match=revision)


def _without(rollout: Rollout, ended: set[str]) -> Rollout | None:
    """Return a rollout without some arms and shadows, ``None`` where the champion alone is left.

    The champion gets their weight, as far as a bandit's bounds let it.
    """
    kept = [arm for arm in rollout.arms if arm.name not in ended]
    shadows = [one for one in rollout.shadows if one.name not in ended]
    if len(kept) == 1 and not shadows:
        return None
    freed = sum(arm.weight for arm in rollout.arms if arm.name in ended)
    weights = [kept[0].weight + freed, *[arm.weight for arm in kept[1:]]]
    bandit = rollout.bandit if len(kept) > 1 else None
    if bandit is not None:
        weights = bound_weights(weights, bandit.min_weight, bandit.max_weight)
    changes = {
        "kind": "ab" if bandit is None and rollout.kind == "bandit" else rollout.kind,
        "bandit": bandit,
        "arms": [
            arm.model_copy(update={"weight": weight})
            for arm, weight in zip(kept, weights, strict=True)
        ],
        "shadows": shadows,
    }
    return Rollout.model_validate(dict(rollout) | changes)
