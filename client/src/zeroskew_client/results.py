"""What the service answers, as plain frozen values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = [
    "ClassPrediction",
    "FeatureDetail",
    "LabelOutcome",
    "ManyPredictions",
    "ModelDetail",
    "Prediction",
    "PredictionBatch",
    "ProbabilityPrediction",
    "RegisteredVersion",
    "ValuePrediction",
    "VersionDetail",
]


@dataclass(frozen=True, slots=True)
class ProbabilityPrediction:
    """A probability, and whether it reaches the model's threshold."""

    probability: float
    label: bool


@dataclass(frozen=True, slots=True)
class ValuePrediction:
    """A number in the model's unit."""

    value: float


@dataclass(frozen=True, slots=True)
class ClassPrediction:
    """A probability for each class, and the likeliest class."""

    probabilities: Mapping[str, float]
    label: str


Prediction = ProbabilityPrediction | ValuePrediction | ClassPrediction
"""Which of the three is the model's to say; all predictions of a version are of one kind."""


@dataclass(frozen=True, slots=True)
class FeatureDetail:
    """One feature of one instance: what the model was given, and where it came from.

    ``status`` is ``present``, ``null``, ``missing``, ``stale``, ``future``, ``override``,
    ``default``, ``request`` or ``computed``. ``age_seconds`` reaches from the stored value's event
    time to ``as_of``. ``view`` is `None` for what is of the request or computed. NaN and infinities
    are texts, and so are instants.
    """

    value: str | int | float | bool | None
    status: str
    age_seconds: float | None
    view: str | None


@dataclass(frozen=True, slots=True)
class PredictionBatch:
    """The answer to one request.

    Attributes
    ----------
    id
        Identifies this answer.
    model
        Which model answered.
    versions, arms
        For each instance the version that answered it, and in a rollout the arm.
    as_of
        The time that the predictions were computed for, in UTC.
    predictions
        One for each instance, in their order.
    request_id
        The id under which the service logged the request.
    degraded
        Why the predictions come from defaults, `None` where they do not.
    overridden
        For each instance the features that it overrides, `None` where no instance does.
    features
        For each instance its features, by ``view:feature`` or the request field's name;
        `None` unless asked for.
    """

    id: str
    model: str
    versions: tuple[int, ...]
    as_of: datetime
    predictions: tuple[Prediction, ...]
    request_id: str
    degraded: str | None = None
    overridden: tuple[tuple[str, ...], ...] | None = None
    features: tuple[Mapping[str, FeatureDetail], ...] | None = None
    arms: tuple[str, ...] | None = None

    @property
    def version(self) -> int | None:
        """The version that answered all instances, `None` where arms of a rollout did."""
        return self.versions[0] if len(set(self.versions)) == 1 else None


@dataclass(frozen=True, slots=True)
class ManyPredictions:
    """The answers to the requests that many instances were spread over, in their order.

    An alias may move between two requests, so the batches may be of different versions;
    `versions` says which. A call with ``version=`` pins them all to that one.
    """

    batches: tuple[PredictionBatch, ...]

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """One prediction for each instance, in the caller's order."""
        return tuple(one for batch in self.batches for one in batch.predictions)

    @property
    def versions(self) -> tuple[int, ...]:
        """The version that each prediction is of, in the caller's order."""
        return tuple(version for batch in self.batches for version in batch.versions)

    @property
    def is_degraded(self) -> bool:
        """Whether any prediction comes from defaults."""
        return any(batch.degraded is not None for batch in self.batches)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.predictions)

    def __len__(self) -> int:
        return sum(len(batch.predictions) for batch in self.batches)


@dataclass(frozen=True, slots=True)
class LabelOutcome:
    """What became of a label: ``status`` is ``created``, or ``known`` where it had come before.

    ``is_matched`` says whether the service has logged the prediction; a label may come first. It is
    `None` where the service does not know.
    """

    status: str
    idempotency_key: str
    is_matched: bool | None


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One immutable version of a model: the sha256 of its manifest and of its model file."""

    model: str
    version: int
    manifest_sha256: str
    model_sha256: str
    created_at: datetime
    created_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ModelDetail:
    """A model, the version that each alias points to, and its versions, the newest first."""

    name: str
    aliases: Mapping[str, int]
    versions: tuple[RegisteredVersion, ...]


@dataclass(frozen=True, slots=True)
class VersionDetail:
    """A version, the aliases that point to it, and its manifest as the service gives it.

    ``manifest["request"]`` lists the fields of an instance, ``manifest["example"]`` is one.
    """

    registered: RegisteredVersion
    aliases: tuple[str, ...]
    manifest: Mapping[str, Any]
