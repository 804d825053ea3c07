"""A row as Feast gives it to an online store."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeAlias

from zeroskew.contract.time.epoch import to_epoch_us

__all__ = ["OnlineRow", "event_us_of"]

OnlineRow: TypeAlias = tuple[Any, dict[str, Any], datetime, datetime | None]
"""Feast's entity key, values, event time and created time."""


def event_us_of(row: OnlineRow) -> int:
    """Return the event time of a row in microseconds since the Unix epoch."""
    return to_epoch_us(row[2])
