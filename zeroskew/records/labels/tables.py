"""The labels' table."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from zeroskew.records.database.column_types import UtcDateTime

__all__ = ["StoredLabel"]


class StoredLabel(SQLModel, table=True):
    """One label as it came; a correction is a further row about the same prediction."""

    __tablename__ = "label"
    __table_args__ = (
        Index("ix_label_prediction", "prediction_id", "row"),
        Index("ix_label_entity", "model", "entity_key", "time"),
    )

    number: int | None = Field(default=None, primary_key=True)
    idempotency_key: str = Field(unique=True, max_length=128)
    body_sha256: str = Field(max_length=64)
    prediction_id: str | None = Field(default=None, max_length=36)
    row: int | None = None
    model: str | None = None
    entity_key: str | None = None
    time: datetime | None = Field(default=None, sa_type=UtcDateTime)
    kind: str
    value_number: float | None = None
    value_text: str | None = None
    observed_at: datetime = Field(sa_type=UtcDateTime)
    received_at: datetime = Field(sa_type=UtcDateTime)
    request_id: str
