"""Writes features into the SQLite file of Feast's online store."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from zeroskew.contract.errors.service import OnlineStoreUnavailableError
from zeroskew.online.reader import StoredView
from zeroskew.online.sqlite.event_times import (
    create_event_times,
    note_event_times,
    read_standing_us,
    whole_seconds,
)
from zeroskew.online.sqlite.names import quote
from zeroskew.online.values.decode import ValueType, decode_value
from zeroskew.online.values.encode import describe_value
from zeroskew.online.values.encode_nested import encode_feature
from zeroskew.online.writer import OnlineRow, OnlineWrite, StateChange, ViewRows

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

    async def change_states(self, change: StateChange) -> int:
        """Change all states in one transaction; see `OnlineFeatureWriter`."""
        async with self._turn:
            return await asyncio.to_thread(self._change_states, change)

    async def close(self) -> None:
        """Do nothing: no connection outlives its write."""

    def _write(self, write: OnlineWrite) -> list[int]:
        with self._transaction() as connection:
            return [_write_view(connection, one) for one in write.views]

    def _change_states(self, change: StateChange) -> int:
        with self._transaction() as connection:
            written = ViewRows(change.view, (ValueType.BYTES,), [])
            columns = _value_columns(connection, written)
            rows = []
            for key in dict.fromkeys(change.keys):
                row = change.change(key, _read_state(connection, change.view, key))
                if row is not None:
                    rows.append(row)
            _upsert(connection, written, rows, columns)
        return len(rows)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(
                self._uri, uri=True, timeout=self._timeout_sec, isolation_level=None
            )
            with closing(connection):
                connection.execute("BEGIN IMMEDIATE")
                create_event_times(connection)
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
                message = "The online store is locked by another writer for too long."
            else:
                message = "The online store cannot be written."
            raise OnlineStoreUnavailableError(message) from error


def _write_view(connection: sqlite3.Connection, view_rows: ViewRows) -> int:
    """Write what is not older than what stands; return how many rows that were."""
    view = view_rows.view
    columns = _value_columns(connection, view_rows)
    newer = [
        row
        for key, row in view_rows.newest().items()
        if row.event_us >= read_standing_us(connection, view.table, key)
    ]
    _upsert(connection, view_rows, newer, columns)
    return len(newer)


def _read_state(connection: sqlite3.Connection, view: StoredView, key: bytes) -> bytes | None:
    found = connection.execute(
        f"SELECT value FROM {quote(view.table)} WHERE entity_key = ? AND feature_name = ?",  # noqa: S608 - quoted
        (key, view.features[0]),
    ).fetchone()
    value = decode_value(found[0], ValueType.BYTES) if found and found[0] else None
    assert value is None or isinstance(value, bytes)
    return value


def _upsert(
    connection: sqlite3.Connection,
    view_rows: ViewRows,
    rows: Sequence[OnlineRow],
    columns: Sequence[str],
) -> None:
    view = view_rows.view
    names = ("entity_key", "feature_name", *columns, "event_ts", "created_ts")
    updates = ", ".join(f"{name} = excluded.{name}" for name in names[2:])
    connection.executemany(
        f"INSERT INTO {quote(view.table)} ({', '.join(names)})"  # noqa: S608 - quoted
        f" VALUES ({', '.join('?' * len(names))})"
        f" ON CONFLICT(entity_key, feature_name) DO UPDATE SET {updates}",
        _table_rows(view_rows, rows, len(columns)),
    )
    note_event_times(connection, view.table, [(row.entity_key, row.event_us) for row in rows])


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
    view_rows: ViewRows, rows: Sequence[OnlineRow], n_columns: int
) -> Iterator[tuple[object, ...]]:
    for row in rows:
        created = None if row.created_us is None else whole_seconds(row.created_us)
        times = (whole_seconds(row.event_us), created)
        for feature, kind, value in zip(
            view_rows.view.features, view_rows.kinds, row.values, strict=True
        ):
            columns = (encode_feature(value, kind), *describe_value(value, kind))
            yield (row.entity_key, feature, *columns[:n_columns], *times)
