"""Snapshots of the registry's SQLite file without SQLAlchemy, whose import is half a start."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from zeroskew.records.database.head_revision import check_revision

__all__ = ["SqliteSnapshots", "select_generation"]


class SqliteSnapshots:
    """A fresh connection and one snapshot for each call.

    Parameters
    ----------
    path
        The file, with its tables.
    busy_timeout_sec
        How long a call waits for a publisher's lock.

    Raises
    ------
    RegistrySchemaError
        If the tables are of a release that this one does not know.
    sqlite3.Error
        If the file or its tables are missing, or cannot be read.
    """

    def __init__(self, path: Path, *, busy_timeout_sec: float) -> None:
        # Never makes the file: a registry that went away must not come back empty.
        self._uri = f"{path.absolute().as_uri()}?mode=rw"
        self._busy_timeout_sec = busy_timeout_sec
        with self.open() as connection:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        check_revision([revision for (revision,) in rows])

    @contextmanager
    def open(self, begin: str = "BEGIN") -> Iterator[sqlite3.Connection]:
        """Lend a connection in a transaction; whoever changes something commits it."""
        connection = sqlite3.connect(
            self._uri, uri=True, timeout=self._busy_timeout_sec, isolation_level=None
        )
        with closing(connection):
            connection.execute(begin)
            yield connection


def select_generation(connection: sqlite3.Connection) -> int:
    """Return a number that every change raises."""
    (generation,) = connection.execute("SELECT value FROM registry_generation").fetchone()
    return int(generation)
