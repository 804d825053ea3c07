"""The table beside Feast's in a SQLite online store: when each entity's row came, exactly.

Of several writes of an entity's row the latest event time stands, and among equal ones the last
write. Feast's tables keep whole seconds, so all that write a file compare by this table: the
service, and Feast's store of `zeroskew.features.online_store`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

__all__ = [
    "EVENT_TIMES",
    "create_event_times",
    "forget_event_times",
    "note_event_times",
    "read_standing_event",
]

EVENT_TIMES: Final = "zeroskew_event_times"
"""The table's name."""

_CREATE: Final = """
CREATE TABLE IF NOT EXISTS zeroskew_event_times (
    view_table TEXT, entity_key BLOB, event_ts INTEGER, event_us INTEGER,
    PRIMARY KEY (view_table, entity_key)
) WITHOUT ROWID
"""


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
