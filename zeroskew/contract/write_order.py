"""Which of several writes of an entity's row stands, for all that write an online store.

The latest event time stands, and among equal ones the last write. The service and Feast's
stores of `zeroskew.features.online_store` write side by side, so what they must agree on is
here: the rule, the script by which Redis compares, and the table that keeps SQLite's
microseconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

__all__ = [
    "EVENT_TIMES",
    "REDIS_WRITE_IF_STANDING",
    "create_event_times",
    "forget_event_times",
    "keep_newest",
    "note_event_times",
    "read_standing_event",
]

REDIS_WRITE_IF_STANDING: Final = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
if tonumber(ARGV[3]) > 0 then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
return 1
"""
"""Writes a hash if the event time that was compared still stands; returns whether it did.

KEYS: the entity's hash. ARGV: the field of the event time, the event time that was compared
(empty for none), the entity's time to live in seconds (0 for none), then fields and values.
"""

EVENT_TIMES: Final = "zeroskew_event_times"
"""The table beside Feast's in a SQLite online store: when each entity's row came, exactly."""

# Feast's tables keep whole seconds only.
_CREATE: Final = """
CREATE TABLE IF NOT EXISTS zeroskew_event_times (
    view_table TEXT, entity_key BLOB, event_ts INTEGER, event_us INTEGER,
    PRIMARY KEY (view_table, entity_key)
) WITHOUT ROWID
"""
_Row = TypeVar("_Row")


def keep_newest(
    rows: Iterable[_Row], key_of: Callable[[_Row], bytes], event_us_of: Callable[[_Row], int]
) -> dict[bytes, _Row]:
    """Return for each key its row with the latest event time, the last of several such.

    Parameters
    ----------
    rows
        Rows of one view.
    key_of
        Returns the serialised entity key of a row.
    event_us_of
        Returns the event time of a row in microseconds since the Unix epoch.
    """
    newest: dict[bytes, _Row] = {}
    for row in rows:
        key = key_of(row)
        standing = newest.get(key)
        if standing is None or event_us_of(row) >= event_us_of(standing):
            newest[key] = row
    return newest


def create_event_times(connection: sqlite3.Connection) -> None:
    """Make the table of exact event times where there is none."""
    connection.execute(_CREATE)


def read_standing_event(
    connection: sqlite3.Connection, table: str, entity_key: bytes
) -> tuple[int | None, int | None]:
    """Return the event time that stands for an entity, to the second and to the microsecond.

    Parameters
    ----------
    connection
        In a transaction that no other writer enters.
    table
        The view's table in Feast's layout.
    entity_key
        The serialised key.

    Returns
    -------
    seconds, microseconds
        Since the Unix epoch, each ``None`` where it is not known: both for an unknown entity,
        the latter for a row that Feast's own store wrote last.
    """
    quoted = table.replace('"', '""')
    query = f'SELECT max(event_ts) FROM "{quoted}" WHERE entity_key = ?'  # noqa: S608 - quoted
    (seconds,) = connection.execute(query, (entity_key,)).fetchone()
    if seconds is None:
        return None, None
    exact = connection.execute(
        "SELECT event_us FROM zeroskew_event_times"
        " WHERE view_table = ? AND entity_key = ? AND event_ts = ?",
        (table, entity_key, seconds),
    ).fetchone()
    return seconds, exact[0] if exact else None


def note_event_times(
    connection: sqlite3.Connection, table: str, rows: Iterable[tuple[bytes, int, int]]
) -> None:
    """Keep the exact event times of rows that are being written.

    Parameters
    ----------
    connection, table
        As for `read_standing_event`.
    rows
        Each entity key, the seconds that Feast's table keeps, and the microseconds.
    """
    connection.executemany(
        "INSERT OR REPLACE INTO zeroskew_event_times VALUES (?, ?, ?, ?)",
        [(table, *row) for row in rows],
    )


def forget_event_times(connection: sqlite3.Connection, tables: Iterable[str]) -> None:
    """Drop the exact event times of tables that are no more."""
    connection.executemany(
        "DELETE FROM zeroskew_event_times WHERE view_table = ?", [(table,) for table in tables]
    )
