"""Metrics of what was served, over predictions whose labels have had the time to come.

Labels that come early are not like the others: a flight that has landed already was short, or
on time. So only mature predictions count. What is measured before is named an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from training.evaluate.metrics import DayResampler, measure_scores
from zeroskew.contract.manifest import Metric
from zeroskew.declarations.objective_table import Objective

__all__ = ["LiveMetrics", "measure_live"]


@dataclass(frozen=True)
class LiveMetrics:
    """The metrics of one group of predictions.

    ``group`` are its values of what was asked for. ``n_mature`` of its ``n_predictions`` are old
    enough, and ``n_labelled`` of these have a label. ``metrics`` are over those, or, where
    ``is_estimate``, over all that have a label; their intervals need two days, and are as wide as
    the value alone where there is one.
    """

    group: dict[str, Any]
    n_predictions: int
    n_mature: int
    n_labelled: int
    is_estimate: bool
    metrics: dict[str, Metric]
    n_days: int

    @property
    def coverage(self) -> float:
        """The share of the predictions that count which have a label."""
        of = self.n_predictions if self.is_estimate else self.n_mature
        return self.n_labelled / of if of else 0.0


def measure_live(
    outcomes: pl.DataFrame,
    objectives: Mapping[int, Objective],
    by: Sequence[str],
    *,
    with_estimates: bool = False,
) -> list[LiveMetrics]:
    """Measure predictions, group by group.

    Parameters
    ----------
    outcomes
        What `read_outcomes` returns.
    objectives
        What each version learned. Of a group whose versions learned several things, or know
        several sets of classes, only what means the same of all is measured.
    by
        Of ``version``, ``arm``, ``day`` and the names of request fields; sorted by them.
    with_estimates
        Whether each group is followed by one over all predictions that have a label.

    Raises
    ------
    ValueError
        If something else is asked for.
    """
    if outcomes.is_empty():
        return []
    outcomes = outcomes.with_columns(pl.col("time").dt.date().alias("day"))
    columns = {name: name for name in ("version", "arm", "day")}
    columns |= {
        name.removeprefix("request."): name
        for name in outcomes.columns
        if name.startswith("request.")
    }
    unknown = sorted(set(by) - set(columns))
    if unknown:
        raise ValueError(f"Got {', '.join(unknown)}, but expected of {', '.join(columns)}.")
    keys = [columns[name] for name in by]
    groups = outcomes.sort(keys).partition_by(keys, maintain_order=True) if keys else [outcomes]
    measured = []
    for rows in groups:
        group = {name: rows[column][0] for name, column in zip(by, keys, strict=True)}
        measured.append(_measure(group, rows, objectives, is_estimate=False))
        if with_estimates:
            measured.append(_measure(group, rows, objectives, is_estimate=True))
    return measured


def _measure(
    group: dict[str, Any],
    rows: pl.DataFrame,
    objectives: Mapping[int, Objective],
    *,
    is_estimate: bool,
) -> LiveMetrics:
    counted = rows if is_estimate else rows.filter("is_mature")
    labelled = counted.filter(pl.col("label").is_not_null())
    return LiveMetrics(
        group=group,
        n_predictions=rows.height,
        n_mature=int(rows["is_mature"].sum()),
        n_labelled=labelled.height,
        is_estimate=is_estimate,
        metrics=_metrics(labelled, objectives),
        n_days=labelled["day"].n_unique(),
    )


def _metrics(rows: pl.DataFrame, objectives: Mapping[int, Objective]) -> dict[str, Metric]:
    if rows.is_empty():
        return {}
    learned = list(dict.fromkeys(objectives[version] for version in rows["version"].unique()))
    first, kinds = learned[0], {one.kind for one in learned}
    if len(kinds) > 1:
        return {}
    labels, scores = rows["label"].to_numpy(), rows["score"].to_numpy()
    days = rows["day"].to_physical().cast(pl.Int64).to_numpy()
    if kinds == {"probabilities"}:
        if len({one.classes for one in learned}) > 1:
            hits = (labels == scores).astype(np.float64)
            accuracy = DayResampler(days).measure_ratio(hits, np.ones_like(hits))
            return {} if accuracy is None else {"accuracy": accuracy}
        scores = np.array(rows["probabilities"].to_list())
    # Each row by the threshold of the version that scored it.
    measured = measure_scores(first, labels, scores, days, rows["hit_threshold"].to_numpy())
    shared = set.intersection(*(set(one.metrics) for one in learned))
    if len({(one.level, one.power) for one in learned}) > 1:
        shared -= {"pinball", "coverage", "tweedie_deviance"}
    return {name: metric for name, metric in measured.items() if name in shared}
