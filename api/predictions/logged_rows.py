"""From a prediction to the row that is kept of it, as bytes and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from api.predict.predictor import Prediction
from zeroskew.contract.arm_choice import encode_json
from zeroskew.model.load_gate import ActiveModel
from zeroskew.model.requests.schemas import Instances
from zeroskew.records.prediction_log.log_mask import LogMask

__all__ = ["COLUMNS", "FailedPrediction", "LoggedRow", "PredictionRecord", "pack"]


class LoggedRow(NamedTuple):
    """One row of the log: what one version answered of a request, all of its instances together.

    ``part`` is 0, or in a rollout the number of the arm. ``numbers`` are JSON, those of its
    instances in the request, ``None`` for all. ``request`` is JSON, for each instance the values
    in the order of the manifest's request fields; a timestamp is seconds since the Unix epoch.
    ``overrides`` is JSON, for each instance an object by ``view:feature``.

    ``features`` is float32 ``(n_rows, n_columns)``, ``request_inputs`` float64
    ``(n_rows, n_request_inputs)`` and ``output`` float64 ``(n_rows,)`` or ``(n_rows, n_classes)``,
    little-endian: the graph's inputs and what it gave. ``statuses`` is uint8 and ``event_times``
    int64 ``(n_rows, n_features)`` in the order of `FeaturePlan.list_stored_features` (microseconds
    since the Unix epoch, the least number where there is none). Where the prediction failed,
    ``error`` is its code, and these are empty; where the model's policy leaves inputs out, all
    but ``output`` are. ``latency_us`` is from the request's parsing to
    its scores.
    """

    id: str
    part: int
    time: datetime
    model: str
    version: int
    arm: str | None
    role: str
    answer_id: str | None
    n_rows: int
    numbers: str | None
    request: str
    overrides: str | None
    features: bytes
    request_inputs: bytes
    statuses: bytes
    event_times: bytes
    output: bytes
    error: str | None
    degraded: bool
    latency_us: int
    request_id: str
    caller: str
    logged_at: datetime

    @property
    def has_inputs(self) -> bool:
        """Whether what the graph was given is there."""
        return bool(self.features or self.request_inputs)

    def list_numbers(self) -> Sequence[int]:
        """Return the numbers of its instances in the request."""
        return range(self.n_rows) if self.numbers is None else json.loads(self.numbers)


_ROWS_AT_ONCE: Final = 50
COLUMNS: Final = LoggedRow._fields
"""The columns of the table, in the order of a row."""


@dataclass(frozen=True, slots=True)
class FailedPrediction:
    """A prediction that failed, and the code of its error."""

    as_of: datetime
    instances: Instances
    error: str


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """What a request leaves behind for the log: references, nothing is packed yet.

    ``part`` and ``numbers`` tell it from what another version has answered of the request.
    ``role`` is ``answer`` or ``shadow``; a shadow names the answer that it stood behind.
    """

    id: str
    model: ActiveModel
    prediction: Prediction | FailedPrediction
    latency_us: int
    request_id: str
    part: int = 0
    numbers: Sequence[int] | None = None
    caller: str = ""
    arm: str | None = None
    role: str = "answer"
    answer_id: str | None = None

    def __len__(self) -> int:
        """Return how many rows it has."""
        return len(self.prediction.instances.rows)


def pack(record: PredictionRecord, logged_at: datetime, mask: LogMask | None = None) -> LoggedRow:
    """Return the row of a record, without what its mask leaves out."""
    prediction = record.prediction
    overrides = prediction.instances.overrides
    requested: Sequence[Sequence[Any]] = prediction.instances.rows
    outcome = _pack_outcome(prediction, len(record), record.model.plan.logged_order)
    if mask is not None:
        requested = mask.mask(requested)
        if not mask.keeps_inputs:
            overrides, outcome = (), (b"", b"", b"", b"", *outcome[4:])
    return LoggedRow(
        record.id,
        record.part,
        prediction.as_of,
        record.model.name,
        record.model.version,
        record.arm,
        record.role,
        record.answer_id,
        len(record),
        None if record.numbers is None else encode_json(record.numbers),
        encode_json(requested),
        encode_json(overrides) if overrides else None,
        *outcome,
        record.latency_us,
        record.request_id,
        record.caller,
        logged_at,
    )


def _pack_columns(values: NDArray[Any], order: NDArray[np.intp]) -> bytes:
    """Return rows with their columns in another order, without keeping the interpreter for long."""
    starts = range(0, len(values), _ROWS_AT_ONCE)
    return b"".join([values[i : i + _ROWS_AT_ONCE, order].tobytes() for i in starts])


def _pack_outcome(
    prediction: Prediction | FailedPrediction, n_rows: int, order: NDArray[np.intp]
) -> tuple[bytes, bytes, bytes, bytes, bytes, str | None, bool]:
    if isinstance(prediction, FailedPrediction):
        return b"", b"", b"", b"", b"", prediction.error, False
    matrix = prediction.features
    status, event_us = matrix.origins
    rows = slice(prediction.first_row, prediction.first_row + n_rows)
    return (
        matrix.values[rows].tobytes(),
        matrix.request[rows].tobytes(),
        _pack_columns(status[rows], order),
        _pack_columns(event_us[rows], order),
        prediction.scores.tobytes(),
        None,
        prediction.is_degraded,
    )
