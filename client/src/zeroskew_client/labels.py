"""What really happened, as it is told to a service."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zeroskew_client.errors import InvalidInputError
from zeroskew_client.instances import encode_fields

__all__ = ["Label", "encode_labels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The actual value of something that was predicted.

    It is about one instance of the answer `prediction_id`, or about the newest prediction of
    `model` for `entity_key` that was made at `time` or before.

    Attributes
    ----------
    value
        True or false for a probability, a number for a value, the name of one of the classes.
    observed_at
        When it was known; a time with a UTC offset.
    row
        The place of the instance in its request.
    idempotency_key
        Names the label; where it is left out the service makes one of what the label says.
    """

    value: bool | float | str
    observed_at: datetime
    prediction_id: str | None = None
    row: int = 0
    model: str | None = None
    entity_key: Mapping[str, Any] | None = None
    time: datetime | None = None
    idempotency_key: str | None = None


def encode_labels(labels: Sequence[Label]) -> bytes:
    """Return the body of a request that tells labels.

    Raises
    ------
    InvalidInputError
        If there are none, or one cannot be written; it names the label and the field.
    """
    if not labels:
        raise InvalidInputError("Got no labels, but expected at least one.")
    plain = []
    for place, label in enumerate(labels):
        given = {name: getattr(label, name) for name in Label.__slots__}
        if label.prediction_id is None:
            del given["row"]
        said = {name: value for name, value in given.items() if value is not None}
        plain.append(encode_fields(said, f"/labels/{place}"))
    document = {"labels": plain}
    return json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
