"""A label on its way to the database, and what becomes of it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Final, NamedTuple

__all__ = ["COLUMNS", "LabelConflict", "LabelRow", "Outcome", "hash_label"]


class LabelRow(NamedTuple):
    """One label as the database has it.

    It is about row ``row`` of the prediction ``prediction_id``, or about the newest prediction of
    ``model`` for ``entity_key``, a canonical JSON object, that was made at ``time`` or before.
    ``kind`` is ``number``, ``boolean`` (0 or 1 in ``value_number``) or ``class`` (``value_text``).
    """

    idempotency_key: str
    body_sha256: str
    prediction_id: str | None
    row: int | None
    model: str | None
    entity_key: str | None
    time: datetime | None
    kind: str
    value_number: float | None
    value_text: str | None
    observed_at: datetime
    received_at: datetime
    request_id: str

    @property
    def value(self) -> bool | float | str | None:
        """The actual value."""
        if self.kind == "boolean":
            return bool(self.value_number)
        return self.value_text if self.kind == "class" else self.value_number


COLUMNS: Final = LabelRow._fields
"""The columns of the table, in the order of a row."""

_SAID: Final = COLUMNS[2:11]
"""What its sender said: two labels that say the same are the same."""


class LabelConflict(NamedTuple):
    """A label's key stands for another label already, so that its batch is not kept."""

    key: str


Outcome = list[bool] | LabelConflict
"""For each label of a batch whether it is new, or which key stands for another label."""


def hash_label(row: LabelRow) -> str:
    """Return the sha256 of what a label says, in hexadecimal digits; times count as instants."""
    said = [getattr(row, name) for name in _SAID]
    texts = [one.astimezone(UTC).isoformat() if isinstance(one, datetime) else one for one in said]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()
