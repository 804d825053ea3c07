"""What LightGBM is given: a model's parameters by LightGBM's names, and what all models share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from zeroskew.declarations.lightgbm.conditions import split_metrics
from zeroskew.declarations.lightgbm.names import (
    resolve_alias,
    resolve_metric,
    resolve_names,
    resolve_objective,
)
from zeroskew.declarations.lightgbm.table import CATEGORICAL, SETTABLE
from zeroskew.declarations.lightgbm.values import Groups, PerColumn

__all__ = ["DEFAULTS", "complete_parameters", "drop_columns"]

# Same rows and parameters give the same model to the byte, whatever the number of threads.
# Half of the logical cores, because LightGBM's threads wait for each other at every split and
# one that has to share its core holds up all of them.
DEFAULTS: Final = {
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": max(1, (os.cpu_count() or 1) // 2),
    "seed": 20130101,
    # Warnings come out, and nothing else.
    "verbosity": 0,
}


def complete_parameters(parameters: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """Return what LightGBM is given for parameters that passed both checks.

    Parameters
    ----------
    columns
        The model's columns, in order: LightGBM is told of them by number alone.
    """
    completed: dict[str, Any] = dict(DEFAULTS)
    given = resolve_names(parameters)
    for name, value in given.items():
        completed[name] = _by_number(name, value, given, columns)
    completed["objective"] = resolve_objective(given["objective"])
    if completed.get("boosting") == "goss":
        completed |= {"boosting": "gbdt", "data_sample_strategy": "goss"}
    if completed.get("data_sample_strategy") == "goss":
        completed["num_threads"] = 1  # Each thread draws from its own part of the rows.
    if "metric" in completed:
        # Twice the same is one for LightGBM too; a dictionary keeps the order.
        metrics = map(resolve_metric, split_metrics(completed["metric"]))
        completed["metric"] = list(dict.fromkeys(metrics))
    return completed


def drop_columns(parameters: Mapping[str, Any], *, has_text: bool) -> dict[str, Any]:
    """Return the parameters for the same learner on other columns.

    Those of single columns are left out, and those of text where there is none.
    """

    def stays(name: str) -> bool:
        own = str(resolve_alias(name))
        settable = SETTABLE[own]
        of_columns = isinstance(settable.values, PerColumn | Groups) or "monotone" in settable.needs
        return not of_columns and (has_text or own not in CATEGORICAL)

    return {name: value for name, value in parameters.items() if stays(name)}


def _by_number(own: str, value: Any, given: Mapping[str, Any], columns: Sequence[str]) -> object:
    kind = SETTABLE[own].values
    if isinstance(kind, PerColumn) and isinstance(value, Mapping):
        other = kind.other
        if own == "max_bin_by_feature":
            other = given.get("max_bin", kind.other)
        return [value.get(column, other) for column in columns]
    if own == "interaction_constraints":
        return [
            [one if isinstance(one, int) else columns.index(one) for one in group]
            for group in value
        ]
    return list(value) if isinstance(value, tuple) else value
