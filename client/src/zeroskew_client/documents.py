"""Reads the documents that a service answers with, and takes nothing for granted in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from zeroskew_client.results import (
    ClassPrediction,
    FeatureDetail,
    LabelOutcome,
    ModelDetail,
    Prediction,
    PredictionBatch,
    ProbabilityPrediction,
    RegisteredVersion,
    ValuePrediction,
    VersionDetail,
)

__all__ = [
    "read_health",
    "read_label_outcomes",
    "read_model",
    "read_models",
    "read_predictions",
    "read_version",
    "take",
    "take_optional",
]

T = TypeVar("T", str, int, float, bool, list[Any], dict[str, Any])


def take(document: Any, name: str, kind: type[T]) -> T:
    """Return a member of a JSON object, which must have the type `kind`.

    >>> take({"version": 3}, "version", int)
    3

    A whole number is a float as well. Members that are not asked for may be there.

    Raises
    ------
    ValueError
        If `document` is no object, or the member is missing or of another type.
    """
    return _typed(document.get(name) if isinstance(document, dict) else None, name, kind)


def take_optional(document: dict[str, Any], name: str, kind: type[T]) -> T | None:
    """Return a member as `take` does, `None` where it is missing or null."""
    return None if document.get(name) is None else take(document, name, kind)


def _typed(value: Any, name: str, kind: type[T]) -> T:
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"a {type(value).__name__} as {name!r}, but expected a {kind.__name__}")
    return value


def read_predictions(document: Any, request_id: str, n_instances: int) -> PredictionBatch:
    """Return the answer to a request for predictions, one for each of `n_instances`.

    Raises
    ------
    ValueError
        If the document is none, or has more or fewer predictions.
    """
    predictions = take(document, "predictions", list)
    if len(predictions) != n_instances:
        raise ValueError(f"{len(predictions)} predictions, but expected {n_instances}")
    versions, arms = _read_served_by(document, n_instances)
    overridden = _take_one_each(document, "overridden", n_instances)
    features = _take_one_each(document, "features", n_instances)
    return PredictionBatch(
        id=take(document, "id", str),
        model=take(document, "model", str),
        versions=versions,
        as_of=_time(document, "as_of"),
        predictions=tuple(map(_read_prediction, predictions)),
        request_id=request_id,
        degraded=take_optional(document, "degraded", str),
        overridden=None if overridden is None else tuple(map(_read_names, overridden)),
        features=None if features is None else tuple(map(_read_features, features)),
        arms=arms,
    )


def _read_served_by(
    document: Any, n_instances: int
) -> tuple[tuple[int, ...], tuple[str, ...] | None]:
    """Return the version of each instance, and the arm where there are arms."""
    served_by = _take_one_each(document, "served_by", n_instances)
    if served_by is not None:
        versions = tuple(take(one, "version", int) for one in served_by)
        return versions, tuple(take(one, "arm", str) for one in served_by)
    arm = take_optional(document, "arm", str)
    versions = (take(document, "version", int),) * n_instances
    return versions, None if arm is None else (arm,) * n_instances


def read_label_outcomes(document: Any, n_labels: int) -> tuple[LabelOutcome, ...]:
    """Return what became of labels, one for each of `n_labels`, or raise `ValueError`."""
    outcomes = take(document, "labels", list)
    if len(outcomes) != n_labels:
        raise ValueError(f"{len(outcomes)} labels, but expected {n_labels}")
    return tuple(
        LabelOutcome(
            status=take(one, "status", str),
            idempotency_key=take(one, "idempotency_key", str),
            is_matched=take_optional(one, "matched", bool),
        )
        for one in outcomes
    )


def read_models(document: Any) -> tuple[ModelDetail, ...]:
    """Return the models of a list, or raise `ValueError`."""
    return tuple(map(read_model, take(document, "details", list)))


def read_model(document: Any) -> ModelDetail:
    """Return a model, or raise `ValueError`."""
    aliases = take(document, "aliases", dict)
    return ModelDetail(
        name=take(document, "name", str),
        aliases={alias: take(aliases, alias, int) for alias in aliases},
        versions=tuple(map(_read_registered, take(document, "versions", list))),
    )


def read_version(document: Any) -> VersionDetail:
    """Return a version, or raise `ValueError`."""
    return VersionDetail(
        registered=_read_registered(take(document, "registered", dict)),
        aliases=_read_names(take(document, "aliases", list)),
        manifest=take(document, "manifest", dict),
    )


def read_health(document: Any) -> None:
    """Return if the service says that it is well, or raise `ValueError`."""
    if (status := take(document, "status", str)) != "ok":
        raise ValueError(f"the status {status!r}, but expected 'ok'")


def _read_prediction(document: Any) -> Prediction:
    if isinstance(document, dict) and "value" in document:
        return ValuePrediction(take(document, "value", float))
    if isinstance(document, dict) and "probabilities" in document:
        probabilities = take(document, "probabilities", dict)
        return ClassPrediction(
            probabilities={name: take(probabilities, name, float) for name in probabilities},
            label=take(document, "label", str),
        )
    return ProbabilityPrediction(
        take(document, "probability", float), label=take(document, "label", bool)
    )


def _read_features(document: Any) -> dict[str, FeatureDetail]:
    features = _typed(document, "features", dict)
    return {name: _read_feature(take(features, name, dict)) for name in features}


def _read_feature(document: dict[str, Any]) -> FeatureDetail:
    value: Any = document.get("value")
    if isinstance(value, list | dict):
        raise ValueError("a feature's value that is no single one")  # noqa: TRY004
    return FeatureDetail(
        value=value,
        status=take(document, "status", str),
        age_seconds=take_optional(document, "age_seconds", float),
        view=take_optional(document, "view", str),
    )


def _read_names(document: Any) -> tuple[str, ...]:
    return tuple(_typed(name, "a name", str) for name in _typed(document, "names", list))


def _read_registered(document: Any) -> RegisteredVersion:
    return RegisteredVersion(
        model=take(document, "model", str),
        version=take(document, "version", int),
        manifest_sha256=take(document, "manifest_sha256", str),
        model_sha256=take(document, "model_sha256", str),
        created_at=_time(document, "created_at"),
        created_by=take(document, "created_by", str),
        reason=take(document, "reason", str),
    )


def _take_one_each(document: Any, name: str, n_instances: int) -> list[Any] | None:
    """Return a list with an item for each instance, `None` where the document has none."""
    items = take_optional(document, name, list)
    if items is not None and len(items) != n_instances:
        raise ValueError(f"{len(items)} items of {name!r}, but expected {n_instances}")
    return items


def _time(document: Any, name: str) -> datetime:
    try:
        return datetime.fromisoformat(take(document, name, str))
    except ValueError as error:
        raise ValueError(f"no time as {name!r}") from error
