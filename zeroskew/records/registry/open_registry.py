"""From the address of a registry to what reads it."""

from __future__ import annotations

from pathlib import Path
from sqlite3 import OperationalError

from zeroskew.contract.database_url import locate_database
from zeroskew.records.registry.registered_version import RegistryReader
from zeroskew.records.registry.sqlite_registry import SqliteRegistry

__all__ = ["open_registry"]


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
    from zeroskew.records.registry.model_registry import ModelRegistry

    return ModelRegistry.open(url, busy_timeout_sec=busy_timeout_sec)
