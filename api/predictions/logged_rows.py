"""From a prediction to the row that is kept of it, as bytes and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from api.predict.prediction import Prediction
from zeroskew.contract.arm_choice import encode_json
from zeroskew.model.load_gate import ActiveModel
from zeroskew.model.requests.instances import Instances
from zeroskew.records.prediction_log.log_mask import LogMask
from zeroskew.records.prediction_log.logged_row import LoggedRow

__all__ = ["FailedPrediction", "PredictionRecord", "pack"]

_ROWS_AT_ONCE: Final = 50


@dataclass(slots=True, eq=False)
class FailedPrediction:
    """A prediction that failed, and the code of its error."""

    as_of: datetime
    instances: Instances
    error: str


@dataclass(slots=True, eq=False)
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
    parts = [values[i : i + _ROWS_AT_ONCE].take(order, axis=1).tobytes() for i in starts]
    return parts[0] if len(parts) == 1 else b"".join(parts)


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
