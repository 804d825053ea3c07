"""The calls that a service answers: what is sent, and how the answer is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar

from zeroskew_client.documents import (
    read_health,
    read_label_outcomes,
    read_model,
    read_models,
    read_predictions,
    read_version,
)
from zeroskew_client.errors import InvalidInputError
from zeroskew_client.instances import encode_instances
from zeroskew_client.labels import Label, encode_labels
from zeroskew_client.results import LabelOutcome, ModelDetail, PredictionBatch, VersionDetail

__all__ = [
    "CHUNK_SIZE",
    "Call",
    "check_health",
    "cut",
    "get_model",
    "get_version",
    "list_models",
    "predict",
    "predict_in_chunks",
    "send_labels",
]

CHUNK_SIZE: Final = 500
"""How many instances one of many requests carries; a service takes 1000 unless set otherwise."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T_co]):
    """One request, which may take several attempts.

    Attributes
    ----------
    read
        Makes the result of an answer's JSON and its request id, or raises `ValueError`.
    is_retried
        Whether an attempt that failed may be made again.
    instances
        With `predict_in_chunks`, the places of the caller's instances that it carries.
    """

    method: Literal["GET", "POST"] = "GET"
    path: str
    read: Callable[[Any, str], T_co]
    content: bytes | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    is_retried: bool = True
    instances: range | None = None


def predict(
    model: str,
    instances: Iterable[Mapping[str, Any]],
    *,
    version: int | None,
    alias: str | None,
    with_features: bool,
) -> Call[PredictionBatch]:
    """Return the call that scores `instances` in one request.

    Raises
    ------
    InvalidInputError
        If a name, the version or an instance cannot be sent, or both a version and an alias
        are given.
    """
    path = _predict_path(model, version, alias)
    return _score(path, list(instances), with_features)


def predict_in_chunks(
    model: str,
    instances: Iterable[Mapping[str, Any]],
    *,
    version: int | None,
    alias: str | None,
    with_features: bool,
    chunk_size: int,
) -> list[Call[PredictionBatch]]:
    """Return the calls that score `instances`, at most `chunk_size` each, in their order.

    Raises
    ------
    InvalidInputError
        As `predict`, and if `chunk_size` is below 1. No call is made before all are.
    """
    path = _predict_path(model, version, alias)
    rows = list(instances)
    return [
        _score(path, rows[part.start : part.stop], with_features, part)
        for part in cut(len(rows), chunk_size)
    ]


def cut(n_instances: int, chunk_size: int) -> Iterator[range]:
    """Yield the places of the instances of each chunk; one empty chunk where there are none.

    >>> list(cut(5, 2))
    [range(0, 2), range(2, 4), range(4, 5)]

    Raises
    ------
    InvalidInputError
        If `chunk_size` is below 1.
    """
    if chunk_size < 1:
        raise InvalidInputError(f"Got chunk_size={chunk_size}, but expected at least 1.")
    for start in range(0, max(n_instances, 1), chunk_size):
        yield range(start, min(start + chunk_size, n_instances))


def send_labels(labels: Iterable[Label]) -> Call[tuple[LabelOutcome, ...]]:
    """Return the call that tells labels, or raise `InvalidInputError` for what is none.

    It may be made again: the service keeps the same label once.
    """
    given = list(labels)
    return Call(
        method="POST",
        path="/v1/feedback",
        read=lambda document, _: read_label_outcomes(document, len(given)),
        content=encode_labels(given),
    )


def list_models() -> Call[tuple[ModelDetail, ...]]:
    """Return the call that lists the models."""
    return Call(path="/v1/models", read=lambda document, _: read_models(document))


def get_model(name: str) -> Call[ModelDetail]:
    """Return the call that describes a model, or raise `InvalidInputError` for no name."""
    return Call(path=_model_path(name), read=lambda document, _: read_model(document))


def get_version(name: str, version: int) -> Call[VersionDetail]:
    """Return the call that describes a version, or raise `InvalidInputError` for no version."""
    return Call(path=_version_path(name, version), read=lambda document, _: read_version(document))


def check_health(endpoint: Literal["livez", "readyz"]) -> Call[None]:
    """Return the call that asks whether the service is well; it is made once only."""
    return Call(
        path=f"/{endpoint}", read=lambda document, _: read_health(document), is_retried=False
    )


def _score(
    path: str,
    instances: list[Mapping[str, Any]],
    with_features: bool,
    part: range | None = None,
) -> Call[PredictionBatch]:
    n_instances = len(instances)
    return Call(
        method="POST",
        path=path,
        read=lambda document, request_id: read_predictions(document, request_id, n_instances),
        content=encode_instances(instances, part.start if part else 0),
        parameters={"with_features": "true"} if with_features else {},
        instances=part,
    )


def _predict_path(model: str, version: int | None, alias: str | None) -> str:
    if version is not None and alias is not None:
        raise InvalidInputError("Got a version and an alias, but expected one of the two at most.")
    if version is not None:
        return f"{_version_path(model, version)}:predict"
    labels = "" if alias is None else f"/labels/{_check_name('alias', alias)}"
    return f"{_model_path(model)}{labels}:predict"


def _model_path(model: str) -> str:
    return f"/v1/models/{_check_name('model', model)}"


def _version_path(model: str, version: object) -> str:
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise InvalidInputError(f"Got version {version!r}, but expected a whole number from 1 on.")
    return f"{_model_path(model)}/versions/{version}"


def _check_name(kind: str, name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"Got {kind} {name!r}, but expected a name of letters, digits, '_' and '-'."
        )
    return name
