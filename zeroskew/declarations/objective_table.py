"""What is known of each objective, in one row: its labels, its answers, its judgement, its sums.

From this table a declaration is checked, labels are checked, a model is judged on the test span,
exported and compared with its reference, and served predictions are measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["OBJECTIVE_TABLE", "LabelRule", "Objective", "Transform", "list_reading"]


class LabelRule(StrEnum):
    """What a label may be, in the words of a refusal."""

    TRUTH = "true or false, or 0 and 1"
    SHARE = "numbers from 0 to 1"
    NUMBER = "finite numbers"
    NOT_NEGATIVE = "numbers of 0 or more"
    POSITIVE = "numbers above 0"
    FAR_FROM_ZERO = "numbers of at least 1, or at most -1"
    CLASS = "one of the output's classes"


class Transform(StrEnum):
    """What becomes of the sum of a model's terms, such as its trees' leaves, to make a score.

    ``SUM`` is the sum itself, or ``x·|x|`` where a model was fitted on square roots. Its terms
    may cancel, so its rounding is relative to them; the others are steep enough to count alone.
    """

    SUM = "sum"
    EXPONENTIAL = "exponential"
    SIGMOID = "sigmoid"
    SOFTPLUS = "softplus"
    SOFTMAX = "softmax"


@dataclass(frozen=True, kw_only=True)
class Objective:
    """An objective; of a model that declares it, with what that one says.

    Attributes
    ----------
    name
        LightGBM's first name for it.
    aliases
        LightGBM's other names (``ParseObjectiveAlias`` in its ``config.h``).
    kinds
        The output's kinds that its scores can be, the usual one first.
    labels
        What its labels may be.
    metric
        What it is judged by against the base rate: less is better.
    transform
        From the sum of terms to the score.
    parameters
        Parameters of LightGBM's that have no effect beside most other objectives.
    renews_leaves
        Whether LightGBM computes the leaves anew when a tree is grown.
    refused
        Why a model cannot be declared with it; empty where it can.
    kind
        The kind that is declared.
    level
        Of ``quantile``, the share of labels that shall lie at or below the prediction.
    power
        Of ``tweedie``, the variance's power of the mean.
    classes
        Of ``multiclass``, their names.
    """

    name: str
    aliases: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("value",)
    labels: LabelRule
    metric: str
    transform: Transform
    parameters: tuple[str, ...] = ()
    renews_leaves: bool = False
    refused: str = ""
    kind: str = ""
    level: float = 0.9
    power: float = 1.5
    classes: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all metrics that a model of this objective is measured by."""
        if self.kind == "probability":
            return ("auc", "log_loss", "brier", "accuracy", "precision", "recall", "f1")
        if self.kind == "probabilities":
            return ("log_loss", "brier", "accuracy", "macro_f1", "macro_auc")
        own = ("coverage", "pinball") if self.name == "quantile" else (self.metric,)
        return tuple(dict.fromkeys(("mae", "rmse", *own)))


_TWO_CLASSES: Final = ("sigmoid", "is_unbalance", "scale_pos_weight")
_RANKS: Final = "it ranks within queries, which a label table does not have"

OBJECTIVE_TABLE: Final = {
    one.name: one
    for one in (
        Objective(
            name="binary",
            kinds=("probability",),
            labels=LabelRule.TRUTH,
            metric="log_loss",
            transform=Transform.SIGMOID,
            parameters=(*_TWO_CLASSES, "pos_bagging_fraction", "neg_bagging_fraction"),
        ),
        Objective(
            name="cross_entropy",
            aliases=("xentropy",),
            kinds=("probability", "value"),
            labels=LabelRule.SHARE,
            metric="log_loss",
            transform=Transform.SIGMOID,
        ),
        Objective(
            name="multiclass",
            aliases=("softmax",),
            kinds=("probabilities",),
            labels=LabelRule.CLASS,
            metric="log_loss",
            transform=Transform.SOFTMAX,
            parameters=("num_class",),
        ),
        Objective(
            name="regression",
            aliases=(
                *("regression_l2", "mean_squared_error", "mse", "l2", "l2_root"),
                *("root_mean_squared_error", "rmse"),
            ),
            labels=LabelRule.NUMBER,
            metric="rmse",
            transform=Transform.SUM,
            parameters=("reg_sqrt",),
        ),
        Objective(
            name="regression_l1",
            aliases=("mean_absolute_error", "l1", "mae"),
            labels=LabelRule.NUMBER,
            metric="mae",
            transform=Transform.SUM,
            parameters=("reg_sqrt",),
            renews_leaves=True,
        ),
        Objective(
            name="huber",
            labels=LabelRule.NUMBER,
            metric="mae",
            transform=Transform.SUM,
            parameters=("alpha",),
        ),
        Objective(
            name="fair",
            labels=LabelRule.NUMBER,
            metric="mae",
            transform=Transform.SUM,
            parameters=("reg_sqrt", "fair_c"),
        ),
        Objective(
            name="quantile",
            labels=LabelRule.NUMBER,
            metric="pinball",
            transform=Transform.SUM,
            parameters=("reg_sqrt", "alpha"),
            renews_leaves=True,
        ),
        Objective(
            name="mape",
            aliases=("mean_absolute_percentage_error",),
            labels=LabelRule.FAR_FROM_ZERO,
            metric="mape",
            transform=Transform.SUM,
            parameters=("reg_sqrt",),
            renews_leaves=True,
        ),
        Objective(
            name="poisson",
            labels=LabelRule.NOT_NEGATIVE,
            metric="poisson_deviance",
            transform=Transform.EXPONENTIAL,
            parameters=("poisson_max_delta_step",),
        ),
        Objective(
            name="tweedie",
            labels=LabelRule.NOT_NEGATIVE,
            metric="tweedie_deviance",
            transform=Transform.EXPONENTIAL,
            parameters=("tweedie_variance_power",),
        ),
        Objective(
            name="gamma",
            labels=LabelRule.POSITIVE,
            metric="gamma_deviance",
            transform=Transform.EXPONENTIAL,
        ),
        Objective(
            name="lambdarank",
            labels=LabelRule.NUMBER,
            metric="ndcg",
            transform=Transform.SUM,
            refused=_RANKS,
        ),
        Objective(
            name="rank_xendcg",
            aliases=("xendcg", "xe_ndcg", "xe_ndcg_mart", "xendcg_mart"),
            labels=LabelRule.NUMBER,
            metric="ndcg",
            transform=Transform.SUM,
            refused=_RANKS,
        ),
        Objective(
            name="multiclassova",
            aliases=("multiclass_ova", "ova", "ovr"),
            kinds=("probabilities",),
            labels=LabelRule.CLASS,
            metric="log_loss",
            transform=Transform.SIGMOID,
            parameters=(*_TWO_CLASSES, "num_class"),
            refused="its scores are no probabilities, they do not add up to 1: use 'multiclass'",
        ),
        Objective(
            name="cross_entropy_lambda",
            aliases=("xentlambda",),
            labels=LabelRule.SHARE,
            metric="log_loss",
            transform=Transform.SOFTPLUS,
            refused="its scores are not on the labels' scale: use 'cross_entropy'",
        ),
    )
}
"""LightGBM's own objectives by their first names; those that a model may declare stand first."""


def list_reading(parameter: str) -> tuple[str, ...]:
    """Return the names of the objectives that a parameter has an effect beside.

    >>> list_reading("alpha")
    ('huber', 'quantile')
    """
    return tuple(one.name for one in OBJECTIVE_TABLE.values() if parameter in one.parameters)
