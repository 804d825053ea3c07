"""A connection to the SQLite file for what is written in groups; free of SQLAlchemy."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

__all__ = ["from_sqlite_time", "open_sqlite", "to_sqlite_time"]


def open_sqlite(path: str, *, timeout_sec: float) -> sqlite3.Connection:
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
