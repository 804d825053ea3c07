"""One row of the prediction log, as it is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

__all__ = ["COLUMNS", "LoggedRow", "list_numbers"]


def list_numbers(n_rows: int, numbers: str | None) -> Sequence[int]:
    """Return the numbers that a row's instances have in their request, as the log keeps them."""
    return range(n_rows) if numbers is None else json.loads(numbers)


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
        return list_numbers(self.n_rows, self.numbers)


COLUMNS: Final = LoggedRow._fields
"""The columns of the table, in the order of a row."""
