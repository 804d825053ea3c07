"""A push on its way to the database."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

__all__ = ["COLUMNS", "PushRow"]


class PushRow(NamedTuple):
    """The rows of one request for one table; see `zeroskew.records.pushes.tables.StoredPush`."""

    project: str
    source: str
    rows: str
    sha256: str
    received_at: datetime


COLUMNS = PushRow._fields
"""The columns that are written, in the order of a row."""
