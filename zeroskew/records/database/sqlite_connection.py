"""What writes rows in groups to the SQLite file; free of SQLAlchemy."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["SqliteStore", "from_sqlite_time", "identify_file", "to_sqlite_time"]


class SqliteStore:
    """Keeps a connection that opens when it is first used, and again after a failure.

    Parameters
    ----------
    path
        The file, with its tables.
    timeout_sec
        How long a call waits for another writer.
    """

    failures = (sqlite3.Error,)

    def __init__(self, path: str, *, timeout_sec: float) -> None:
        self._path = path
        self._timeout_sec = timeout_sec
        self._connection: sqlite3.Connection | None = None
        self._opened_file: tuple[int, int] | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        """Return the connection, opened anew where the file was moved away or replaced."""
        if self._connection is not None and identify_file(self._path) != self._opened_file:
            self.close()  # What is written to a file that nobody opens any more is lost.
        if self._connection is None:
            self._opened_file = identify_file(self._path)
            self._connection = _open_sqlite(self._path, timeout_sec=self._timeout_sec)
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection in a transaction, which is on disk when this ends."""
        connection = self._connect()
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            self.close()  # Nothing of a transaction that failed may stay open.
            raise


def identify_file(path: str | Path) -> tuple[int, int] | None:
    """Return the device and the number of a file, ``None`` where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - for every transaction; Path.stat costs twice as much
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open_sqlite(path: str, *, timeout_sec: float) -> sqlite3.Connection:
    """Open a file that is there, with a write-ahead log, whose commits are on disk.

    Transactions are begun and ended by SQL. Any one thread at a time may use the connection.

    Raises
    ------
    sqlite3.Error
        If the file is missing or cannot be used.
    """
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(
        f"file:{quoted}?mode=rw",
        uri=True,
        timeout=timeout_sec,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def to_sqlite_time(time: datetime | None) -> str | None:
    """Return an aware time as SQLAlchemy stores it: in UTC, without saying so."""
    if time is None:
        return None
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def from_sqlite_time(text: str | None) -> datetime | None:
    """Return a stored time, aware and in UTC."""
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)
