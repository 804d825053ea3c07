"""The table of pushed rows that wait for the lake."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from zeroskew.records.database.column_types import UtcDateTime

__all__ = ["StoredPush"]


class StoredPush(SQLModel, table=True):
    """The rows of one request for one table of the lake.

    ``rows`` is JSON, see `zeroskew.contract.pushed_rows`. ``part`` is the name of the part file
    that the rows go to, from when a collector took them until the file is on disk and they are
    deleted here.
    """

    __tablename__ = "pushed_rows"
    __table_args__ = (Index("ix_pushed_rows_source", "project", "source", "number"),)

    number: int | None = Field(default=None, primary_key=True)
    project: str
    source: str
    rows: str
    sha256: str = Field(max_length=64)
    received_at: datetime = Field(sa_type=UtcDateTime)
    part: str | None = None
