"""From the address of a registry to what reads it."""

from __future__ import annotations

from pathlib import Path
from sqlite3 import OperationalError

from api.contract.database_url import locate_database
from api.registry.registered_access import AccessReader
from api.registry.registered_version import RegistryReader
from api.registry.sqlite_access import SqliteAccess
from api.registry.sqlite_registry import SqliteRegistry

__all__ = ["open_access", "open_registry"]


def open_registry(url: str, *, busy_timeout_sec: float) -> RegistryReader:
    """Open the registry at `url` for reading, making its tables where there are none.

    A SQLite file that has its tables is read without importing SQLAlchemy; everything else
    goes through it.

    Parameters
    ----------
    url
        A SQLAlchemy URL.
    busy_timeout_sec
        How long a call waits for a lock of SQLite that another process holds.

    Raises
    ------
    RegistrySchemaError
        If the tables are of a release that this one does not know.
    """
    if isinstance(path := locate_database(url), Path):
        try:
            return SqliteRegistry(path, busy_timeout_sec=busy_timeout_sec)
        except OperationalError:
            pass  # No file or no tables yet: the other way makes them, or says what is wrong.
    from api.registry.model_registry import ModelRegistry

    return ModelRegistry.open(url, busy_timeout_sec=busy_timeout_sec)


def open_access(url: str, *, busy_timeout_sec: float) -> AccessReader:
    """Open the keys and tenants of the registry at `url`, whose tables are there."""
    if isinstance(path := locate_database(url), Path):
        return SqliteAccess(path, busy_timeout_sec=busy_timeout_sec)
    from api.registry.access_registry import AccessRegistry

    return AccessRegistry.open(url, busy_timeout_sec=busy_timeout_sec)
