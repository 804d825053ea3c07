"""From the address of a registry to what reads its keys and tenants."""

from __future__ import annotations

from pathlib import Path

from zeroskew.contract.database_url import locate_database
from zeroskew.records.access.registered_access import AccessReader
from zeroskew.records.access.sqlite_access import SqliteAccess

__all__ = ["open_access"]


def open_access(url: str, *, busy_timeout_sec: float) -> AccessReader:
    """Open the keys and tenants of the registry at `url`, whose tables are there."""
    if isinstance(path := locate_database(url), Path):
        return SqliteAccess(path, busy_timeout_sec=busy_timeout_sec)
    from zeroskew.records.access.access_store import AccessStore

    return AccessStore.open(url, busy_timeout_sec=busy_timeout_sec)
