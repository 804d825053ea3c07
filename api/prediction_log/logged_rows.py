"""From a prediction to the rows that are kept of it, as bytes and canonical JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import numpy as np

from api.prediction.active_model import ActiveModel
from api.prediction.predictor import Prediction

__all__ = ["COLUMNS", "LoggedRow", "PredictionRecord", "RowPacker"]


class LoggedRow(NamedTuple):
    """One predicted row as the database has it.

    ``entity_key`` and ``request`` are JSON objects with sorted names; a timestamp in them is
    seconds since the Unix epoch. ``features`` is float32, ``request_inputs`` and ``output`` are
    float64, little-endian: the graph's inputs and what it gave. ``statuses`` is uint8 and
    ``event_times`` int64 (microseconds since the Unix epoch, the least number where there is
    none), one for each stored feature in the order of `CompiledPlan.features`. ``latency_us`` is
    from the request's parsing to its scores.
    """

    id: str
    row: int
    time: datetime
    model: str
    version: int
    arm: str | None
    role: str
    answer_id: str | None
    entity_key: str
    request: str
    overrides: str | None
    features: bytes
    request_inputs: bytes
    statuses: bytes
    event_times: bytes
    output: bytes
    degraded: bool
    latency_us: int
    request_id: str
    caller: str
    logged_at: datetime


COLUMNS: Final = LoggedRow._fields
"""The columns of the table, in the order of a row."""


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """What a request leaves behind for the log: references, nothing is packed yet.

    ``role`` is ``answer`` or ``shadow``; a shadow names the answer that it stood behind.
    """

    id: str
    model: ActiveModel
    prediction: Prediction
    latency_us: int
    request_id: str
    caller: str = ""
    arm: str | None = None
    role: str = "answer"
    answer_id: str | None = None

    def __len__(self) -> int:
        """Return how many rows it has."""
        return len(self.prediction.instances.rows)


class RowPacker:
    """Packs the predictions of one model version.

    Parameters
    ----------
    model
        The version, whose manifest names the request fields and the join keys among them.
    """

    def __init__(self, model: ActiveModel) -> None:
        # Not the model itself: its memory must be free when it serves no more.
        self._name, self._version = model.name, model.version
        manifest = model.manifest
        names = [field.name for field in manifest.request]
        keys = {key.field for view in manifest.plan.views for key in view.join_keys}
        ordered = sorted(range(len(names)), key=names.__getitem__)
        self._fields = [(names[i], i) for i in ordered]
        self._keys = [(names[i], i) for i in ordered if names[i] in keys]

    def pack(self, record: PredictionRecord) -> Iterator[LoggedRow]:
        """Yield the rows of a prediction of this version."""
        prediction = record.prediction
        matrix = prediction.features
        logged_at = datetime.now(UTC)
        first = prediction.first_row
        overrides = prediction.instances.overrides
        status, event_us = matrix.origins
        scores = np.asarray(prediction.scores, "<f8")
        for number, values in enumerate(prediction.instances.rows):
            place = first + number
            yield LoggedRow(
                id=record.id,
                row=number,
                time=prediction.as_of,
                model=self._name,
                version=self._version,
                arm=record.arm,
                role=record.role,
                answer_id=record.answer_id,
                entity_key=_to_json(self._keys, values),
                request=_to_json(self._fields, values),
                overrides=_dump(overrides[number]) if overrides and overrides[number] else None,
                features=matrix.values[place].tobytes(),
                request_inputs=matrix.request[place].tobytes(),
                statuses=status[place].tobytes(),
                event_times=event_us[place].tobytes(),
                output=scores[number].tobytes(),
                degraded=prediction.is_degraded,
                latency_us=record.latency_us,
                request_id=record.request_id,
                caller=record.caller,
                logged_at=logged_at,
            )


def _to_json(fields: Sequence[tuple[str, int]], values: Sequence[Any]) -> str:
    return _dump({name: values[position] for name, position in fields})


_dump: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True, allow_nan=False).encode
"""Everything that is not ASCII is escaped, so that any database takes it."""
