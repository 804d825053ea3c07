"""When a parameter has an effect: what else must be said for it to count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from typing import Final

from zeroskew.declarations.lightgbm.names import resolve_metric, resolve_objective
from zeroskew.declarations.objective_table import (
    OBJECTIVE_TABLE,
    LabelRule,
    Transform,
    list_reading,
)

__all__ = ["CONDITIONS", "Condition", "Given", "find_lack", "metrics_of", "split_metrics"]

_MULTICLASS: Final = list_reading("num_class")
_BINARY: Final = tuple(
    name
    for name, one in OBJECTIVE_TABLE.items()
    if one.labels in (LabelRule.TRUTH, LabelRule.SHARE)
)
_ON_LOG_SCALE: Final = tuple(
    name for name, one in OBJECTIVE_TABLE.items() if one.transform is Transform.EXPONENTIAL
)
_RENEWING: Final = tuple(name for name, one in OBJECTIVE_TABLE.items() if one.renews_leaves)
_READ_BY_METRICS: Final = frozenset({"alpha", "fair_c", "tweedie_variance_power"})
_OF_VALUES: Final = ("l1", "l2", "rmse", "r2", "quantile", "mape", "huber", "fair")


def metrics_of(objective: str) -> tuple[str, ...]:
    """Return the metrics that judge what an objective's model answers.

    >>> metrics_of("multiclass")
    ('multi_logloss', 'multi_error', 'auc_mu')
    """
    if objective in _MULTICLASS:
        return ("multi_logloss", "multi_error", "auc_mu")
    if objective in _BINARY:
        return (
            *("binary_logloss", "binary_error", "auc", "average_precision", "cross_entropy"),
            *("cross_entropy_lambda", "kullback_leibler", "l1", "l2", "rmse"),
        )
    if objective in _ON_LOG_SCALE:
        return (*_OF_VALUES, "poisson", "gamma", "gamma_deviance", "tweedie")
    return _OF_VALUES


def split_metrics(value: object) -> list[object]:
    """Return the entries of ``metric``, which may be one, a list, or several with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return list(value) if isinstance(value, list | tuple) else [value]


@dataclass(frozen=True)
class Given:
    """Parameters by LightGBM's own names, each of a type it may have."""

    values: Mapping[str, object]

    def number(self, name: str, default: float) -> float:
        """Return a number that was given, or LightGBM's default."""
        value = self.values.get(name, default)
        return value if isinstance(value, int | float) else default

    @property
    def objective(self) -> str:
        """The objective's own name, empty where it is not known."""
        return resolve_objective(self.values.get("objective")) or ""

    @property
    def metrics(self) -> list[str]:
        """The metrics' own names, without those that are not known."""
        given = map(resolve_metric, split_metrics(self.values.get("metric", ())))
        return [metric for metric in given if metric]

    @property
    def boosting(self) -> str:
        """``gbdt``, ``dart`` or ``rf``."""
        names = {"gbrt": "gbdt", "goss": "gbdt", "random_forest": "rf"}
        value = str(self.values.get("boosting", "gbdt"))
        return names.get(value, value)

    @property
    def is_goss(self) -> bool:
        """Whether rows are drawn by their gradients."""
        return "goss" in (self.values.get("boosting"), self.values.get("data_sample_strategy"))

    @property
    def draws_rows(self) -> bool:
        """Whether some of the rows are left out of each tree."""
        if self.is_goss:
            return True
        return self.number("bagging_freq", 0) > 0 and self.has_bagging_fraction

    @property
    def has_bagging_fraction(self) -> bool:
        """Whether bagging would leave rows out."""
        names = ("bagging_fraction", "pos_bagging_fraction", "neg_bagging_fraction")
        return any(self.number(name, 1) < 1 for name in names)

    @property
    def draws_columns(self) -> bool:
        """Whether some of the columns are left out of each tree or split."""
        names = ("feature_fraction", "feature_fraction_bynode")
        return any(self.number(name, 1) < 1 for name in names)

    @property
    def is_monotone(self) -> bool:
        """Whether a column is bound to a direction."""
        value = self.values.get("monotone_constraints")
        entries = value.values() if isinstance(value, Mapping) else value
        return isinstance(entries, list | tuple | ValuesView) and any(entries)

    def has_cost_of_splits(self) -> bool:
        """Whether a penalty of cost-effective boosting is set."""
        return any(name.startswith("cegb_penalty") for name in self.values)


@dataclass(frozen=True)
class Condition:
    """What must hold for a parameter to count, and how to say so."""

    holds: Callable[[Given], bool]
    expected: str


def find_lack(name: str, needs: Sequence[str], given: Given) -> str | None:
    """Return what a parameter lacks to have an effect, in words that follow "expected".

    Parameters
    ----------
    needs
        Names of `CONDITIONS`. An objective that reads the parameter is needed anyway, or, where
        metrics read it too, a metric of that objective's name.
    """
    lacks_objective = _find_lacking_objective(name, given)
    lacking = (CONDITIONS[need] for need in needs if not CONDITIONS[need].holds(given))
    return lacks_objective or next((one.expected for one in lacking), None)


def _find_lacking_objective(name: str, given: Given) -> str | None:
    reading = list_reading(name)
    read_by = {given.objective, *(given.metrics if name in _READ_BY_METRICS else ())}
    if not reading or not read_by.isdisjoint(reading):
        return None
    *others, last = [repr(one) for one in reading if not OBJECTIVE_TABLE[one].refused]
    return f"objective {', '.join(others)} or {last}" if others else f"objective {last}"


CONDITIONS: Final[dict[str, Condition]] = {
    "boosting": Condition(
        lambda given: given.boosting != "rf", "none with boosting='rf', whose trees count alike"
    ),
    "extra_trees": Condition(lambda given: given.values.get("extra_trees") is True, "extra_trees"),
    "bagging_freq": Condition(
        lambda given: given.number("bagging_freq", 0) > 0 and not given.is_goss,
        "bagging_freq of 1 or more beside it, and no goss",
    ),
    "bagging alone": Condition(
        lambda given: not {"pos_bagging_fraction", "neg_bagging_fraction"} & set(given.values),
        "it or pos_ and neg_bagging_fraction, which replace it",
    ),
    "a bagging fraction": Condition(
        lambda given: given.has_bagging_fraction and not given.is_goss,
        "bagging_fraction below 1 beside it, and no goss",
    ),
    "rows drawn": Condition(
        lambda given: given.draws_rows, "rows to be drawn (bagging_freq and bagging_fraction)"
    ),
    "columns drawn": Condition(lambda given: given.draws_columns, "feature_fraction below 1"),
    "goss": Condition(lambda given: given.is_goss, "data_sample_strategy='goss' beside it"),
    "no goss": Condition(
        lambda given: not given.is_goss, "1 with goss, which draws other rows on each number"
    ),
    "dart": Condition(lambda given: given.boosting == "dart", "boosting='dart' beside it"),
    "monotone": Condition(lambda given: given.is_monotone, "monotone_constraints beside it"),
    "splits alone": Condition(
        lambda given: given.objective not in _RENEWING,
        f"none with objectives {sorted(_RENEWING)}, whose leaves are computed anew",
    ),
    "two rows a leaf": Condition(
        lambda given: given.number("min_data_in_leaf", 20) >= 2, "min_data_in_leaf of 2 or more"
    ),
    "a cost of splits": Condition(Given.has_cost_of_splits, "a cegb_penalty_... beside it"),
    "use_missing": Condition(
        lambda given: given.values.get("use_missing") is not False, "use_missing=True"
    ),
    "average": Condition(
        lambda given: given.objective not in _ON_LOG_SCALE, "an objective that starts from a mean"
    ),
    "multi_error": Condition(
        lambda given: "multi_error" in given.metrics, "metric 'multi_error' beside it"
    ),
}
