"""A push on its way to the database."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

__all__ = ["COLUMNS", "PushRow", "WaitingPush"]


class PushRow(NamedTuple):
    """The rows of one request for one table; see `zeroskew.records.pushes.tables.StoredPush`."""

    project: str
    source: str
    rows: str
    sha256: str
    received_at: datetime


class WaitingPush(NamedTuple):
    """A push that is in the database and not in the lake yet."""

    number: int
    project: str
    source: str
    rows: str
    sha256: str


COLUMNS = PushRow._fields
"""The columns that are written, in the order of a row."""
