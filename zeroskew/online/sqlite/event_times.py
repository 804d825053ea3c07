"""The table beside Feast's in a SQLite online store: when each entity's row came, exactly.

Of several writes of an entity's row the latest event time stands, and among equal ones the last
write. Feast's tables keep whole seconds, so all that write a file compare by this table: the
service, and Feast's store of `zeroskew.features.online_store`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.online.sqlite.names import quote

__all__ = [
    "EVENT_TIMES",
    "create_event_times",
    "forget_event_times",
    "note_event_times",
    "read_standing_us",
    "whole_seconds",
]

EVENT_TIMES: Final = "zeroskew_event_times"
"""The table's name."""

_SECOND_US: Final = 1_000_000
_CREATE: Final = """
CREATE TABLE IF NOT EXISTS zeroskew_event_times (
    view_table TEXT, entity_key BLOB, event_ts INTEGER, event_us INTEGER,
    PRIMARY KEY (view_table, entity_key)
) WITHOUT ROWID
"""


def create_event_times(connection: sqlite3.Connection) -> None:
    """Make the table of exact event times where there is none."""
    connection.execute(_CREATE)


def read_standing_us(connection: sqlite3.Connection, table: str, entity_key: bytes) -> int:
    """Return the event time that stands for an entity, `NEVER_US` where there is none.

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
    int
        Microseconds since the Unix epoch; whole seconds of a row that Feast's own store wrote last.
    """
    query = f"SELECT max(event_ts) FROM {quote(table)} WHERE entity_key = ?"  # noqa: S608 - quoted
    (seconds,) = connection.execute(query, (entity_key,)).fetchone()
    if seconds is None:
        return NEVER_US
    exact = connection.execute(
        "SELECT event_us FROM zeroskew_event_times"
        " WHERE view_table = ? AND entity_key = ? AND event_ts = ?",
        (table, entity_key, seconds),
    ).fetchone()
    return int(exact[0] if exact else seconds * _SECOND_US)


def note_event_times(
    connection: sqlite3.Connection, table: str, rows: Iterable[tuple[bytes, int]]
) -> None:
    """Keep the exact event times of rows that are being written.

    Parameters
    ----------
    connection, table
        As for `read_standing_us`.
    rows
        Each entity key and its event time in microseconds since the Unix epoch.
    """
    connection.executemany(
        "INSERT OR REPLACE INTO zeroskew_event_times VALUES (?, ?, ?, ?)",
        [(table, key, whole_seconds(event_us), event_us) for key, event_us in rows],
    )


def whole_seconds(microseconds: int) -> int:
    """Return the seconds that Feast's tables keep: the fraction is cut off, towards 1970.

    >>> whole_seconds(1_900_000), whole_seconds(-1_900_000)
    (1, -1)
    """
    seconds = abs(microseconds) // _SECOND_US
    return seconds if microseconds >= 0 else -seconds


def forget_event_times(connection: sqlite3.Connection, tables: Iterable[str]) -> None:
    """Drop the exact event times of tables that are no more."""
    connection.executemany(
        "DELETE FROM zeroskew_event_times WHERE view_table = ?", [(table,) for table in tables]
    )
