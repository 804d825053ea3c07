"""Writes features into the SQLite file of Feast's online store."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from zeroskew.contract.errors.service import OnlineStoreUnavailableError
from zeroskew.online.sqlite.event_times import (
    create_event_times,
    note_event_times,
    read_standing_us,
    whole_seconds,
)
from zeroskew.online.sqlite.names import quote
from zeroskew.online.values.encode import describe_value
from zeroskew.online.values.encode_nested import encode_feature
from zeroskew.online.writer import OnlineRow, OnlineWrite, ViewRows

__all__ = ["SqliteFeatureWriter"]

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class SqliteFeatureWriter:
    """Writes each request in one transaction, in a thread.

    Parameters
    ----------
    path
        The online store's file, with the tables of the applied views.
    timeout_sec
        How long a write waits for another writer.
    """

    def __init__(self, path: Path, *, timeout_sec: float) -> None:
        self._uri = f"{path.absolute().as_uri()}?mode=rw"
        self._timeout_sec = timeout_sec
        # SQLite lets one write at a time; those that wait need no thread for it.
        self._turn = asyncio.Lock()

    async def write(self, write: OnlineWrite) -> list[int]:
        """Write the rows of all views at once; see `OnlineFeatureWriter`."""
        async with self._turn:
            return await asyncio.to_thread(self._write, write)

    async def close(self) -> None:
        """Do nothing: no connection outlives its write."""

    def _write(self, write: OnlineWrite) -> list[int]:
        try:
            with self._transaction() as connection:
                create_event_times(connection)
                return [_write_view(connection, one) for one in write.views]
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
                message = "The online store is locked by another writer for too long."
            else:
                message = "The online store cannot be written."
            raise OnlineStoreUnavailableError(message) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(
            self._uri, uri=True, timeout=self._timeout_sec, isolation_level=None
        )
        with closing(connection):
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")


def _write_view(connection: sqlite3.Connection, view_rows: ViewRows) -> int:
    """Write what is not older than what stands; return how many rows that were."""
    view = view_rows.view
    columns = _value_columns(connection, view_rows)
    newer = {
        key: row
        for key, row in view_rows.newest().items()
        if row.event_us >= read_standing_us(connection, view.table, key)
    }
    names = ("entity_key", "feature_name", *columns, "event_ts", "created_ts")
    updates = ", ".join(f"{name} = excluded.{name}" for name in names[2:])
    connection.executemany(
        f"INSERT INTO {quote(view.table)} ({', '.join(names)})"  # noqa: S608 - quoted
        f" VALUES ({', '.join('?' * len(names))})"
        f" ON CONFLICT(entity_key, feature_name) DO UPDATE SET {updates}",
        _table_rows(view_rows, newer, len(columns)),
    )
    note_event_times(connection, view.table, [(key, row.event_us) for key, row in newer.items()])
    return len(newer)


def _value_columns(connection: sqlite3.Connection, view_rows: ViewRows) -> tuple[str, ...]:
    """Return the columns that hold a value; Feast makes the last one only if it is told to."""
    view = view_rows.view
    found = {row[1] for row in connection.execute(f"PRAGMA table_info({quote(view.table)})")}
    if not found:
        raise OnlineStoreUnavailableError(
            f"The online store has no table for feature view {view.name!r}; apply it."
        )
    return tuple(name for name in ("value", "value_text", "value_num") if name in found)


def _table_rows(
    view_rows: ViewRows, newer: Mapping[bytes, OnlineRow], n_columns: int
) -> Iterator[tuple[object, ...]]:
    for key, row in newer.items():
        created = None if row.created_us is None else whole_seconds(row.created_us)
        times = (whole_seconds(row.event_us), created)
        for feature, kind, value in zip(
            view_rows.view.features, view_rows.kinds, row.values, strict=True
        ):
            columns = (encode_feature(value, kind), *describe_value(value, kind))
            yield (key, feature, *columns[:n_columns], *times)
