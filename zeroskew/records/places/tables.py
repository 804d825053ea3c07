"""The table of the services' places."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from zeroskew.records.database.column_types import UtcDateTime

__all__ = ["ServicePlace"]


class ServicePlace(SQLModel, table=True):
    """Where a service on some machine keeps its spool and reads features.

    ``online_store`` is as `zeroskew.online.store.OnlineStore` names itself, ``seen_at``
    when it last spoke.
    """

    __tablename__ = "service_place"

    host: str = Field(primary_key=True)
    spool_dir: str = Field(primary_key=True)
    online_store: str = Field(primary_key=True)
    seen_at: datetime = Field(sa_type=UtcDateTime)
