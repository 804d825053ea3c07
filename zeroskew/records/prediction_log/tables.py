"""The prediction log's table."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from zeroskew.records.database.column_types import UtcDateTime

__all__ = ["LoggedPrediction"]


class LoggedPrediction(SQLModel, table=True):
    """What one version answered of a request; `LoggedRow` says what its columns hold."""

    __tablename__ = "prediction"
    __table_args__ = (Index("ix_prediction_model_time", "model", "time"),)

    id: str = Field(primary_key=True, max_length=36)
    part: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    time: datetime = Field(sa_type=UtcDateTime)
    model: str
    version: int
    arm: str | None = None
    role: str
    answer_id: str | None = None
    n_rows: int
    numbers: str | None = None
    request: str
    overrides: str | None = None
    features: bytes
    request_inputs: bytes
    statuses: bytes
    event_times: bytes
    output: bytes
    error: str | None = None
    degraded: bool
    latency_us: int
    request_id: str
    caller: str
    logged_at: datetime = Field(sa_type=UtcDateTime)
