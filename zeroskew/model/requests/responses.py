"""What an answer to a prediction has in it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from zeroskew.contract.answer_model import AnswerModel

__all__ = [
    "ClassPrediction",
    "FeatureDetail",
    "PredictionResponse",
    "ProbabilityPrediction",
    "ServedBy",
    "ValuePrediction",
]


class ProbabilityPrediction(AnswerModel):
    """A probability and the side of the model's threshold it is on."""

    probability: float = Field(ge=0, le=1)
    label: bool = Field(description="Whether the probability reaches the model's threshold.")


class ValuePrediction(AnswerModel):
    """A number in the model's unit."""

    value: float


class ClassPrediction(AnswerModel):
    """A probability for each class, and the likeliest class."""

    probabilities: dict[str, float]
    label: str


class FeatureDetail(AnswerModel):
    """One feature of one instance: what the model was given, and where it came from."""

    value: str | int | float | bool | None = Field(
        description="The value the model was given, before its column's rounding and coding; "
        "`null` is a missing value, an instant is RFC 3339. `NaN` and infinities are texts."
    )
    status: Literal[
        "present",
        "null",
        "missing",
        "stale",
        "future",
        "override",
        "default",
        "request",
        "computed",
    ]
    age_seconds: float | None = Field(
        description="From the stored value's event time to `as_of`; `null` where nothing is stored."
    )
    view: str | None = Field(description="The feature view; `null` for a value of the request.")


class ServedBy(AnswerModel):
    """The arm of a rollout that answered, and its version."""

    arm: str
    version: int


class PredictionResponse(AnswerModel):
    """One prediction for each instance, in their order."""

    id: str = Field(description="Identifies this answer; a UUID version 7 (RFC 9562).")
    model: str
    version: int | None = Field(
        description="`null` where a rollout's arms of several versions answered."
    )
    arm: str | None = Field(None, description="There in a rollout: the arm that answered.")
    served_by: list[ServedBy] | None = Field(
        None, description="There where several arms answered: which, for each instance."
    )
    as_of: datetime = Field(description="The time that the predictions were computed for, in UTC.")
    predictions: list[ProbabilityPrediction | ValuePrediction | ClassPrediction]
    degraded: Literal["online_store_unavailable"] | None = Field(
        None,
        description="There when the predictions come from defaults, because the online store "
        "could not be read; also in the header `Zeroskew-Degraded`.",
    )
    overridden: list[list[str]] | None = Field(
        None, description="There when instances override features: which, for each instance."
    )
    features: list[dict[str, FeatureDetail]] | None = Field(
        None,
        description="There when asked for by `?with_features=true`: for each instance its "
        "features, by `view:feature` or the request field's name.",
    )
    warnings: list[str] | None = Field(
        None,
        description="There with `?with_features=true` when nothing at all is stored for an "
        "instance's entity keys, which is as likely a mistyped key as a new entity.",
    )
