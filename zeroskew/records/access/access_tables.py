"""The tables of who may do what: keys, and every change of them."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from zeroskew.records.database.column_types import UtcDateTime

__all__ = ["AccessChange", "ApiKey"]


class ApiKey(SQLModel, table=True):
    """A key, of which only a hash is stored; ``scopes`` has blanks between them."""

    __tablename__ = "api_key"

    id: str = Field(primary_key=True, max_length=16)
    sha256: str = Field(max_length=64)
    name: str
    scopes: str
    tenant: str | None = None
    requests_per_sec: float | None = None
    requests_per_day: int | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class AccessChange(SQLModel, table=True):
    """One act about keys or tenants: who did it, when and why; before and after as JSON."""

    __tablename__ = "access_change"

    number: int | None = Field(default=None, primary_key=True)
    time: datetime = Field(sa_type=UtcDateTime)
    actor: str
    reason: str
    action: str
    subject: str
    before: str | None = None
    after: str | None = None
