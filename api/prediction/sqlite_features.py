"""Reads features from the SQLite file that Feast's own online store writes.

The table of a view has one row for each entity key and feature; ``event_ts`` is whole
seconds since the epoch. Feast cuts the fraction off when it writes, so an event time is
known here only to the second below it.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from api.errors import OnlineStoreUnavailableError, OnlineValueError
from api.prediction.online_features import EntityRow, StoredValue, ViewQuery

__all__ = ["SqliteFeatureReader"]

_KEYS_A_STATEMENT: Final = 500
_RETRY_DELAY_SEC: Final = 0.002
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class SqliteFeatureReader:
    """A reader on one persistent read-only connection, used in the event loop.

    A read takes some 50 µs, less than handing it to a thread would. A read that meets a
    commit of Feast's waits without blocking the loop.

    Parameters
    ----------
    path
        The online store's file. It need not exist yet, and may be replaced by another one.
    timeout_sec
        How long a read waits for a writer before it gives up.
    """

    def __init__(self, path: Path, *, timeout_sec: float) -> None:
        self._path = path
        self._timeout_sec = timeout_sec
        self._connection: sqlite3.Connection | None = None
        self._opened_file: tuple[int, int] | None = None

    async def read(self, queries: Sequence[ViewQuery]) -> list[Mapping[bytes, EntityRow]]:
        """Return for each query its rows by entity key; an unknown key has no row.

        Raises
        ------
        OnlineStoreUnavailableError
            If the file or a view's table is missing, damaged, or locked for too long.
        OnlineValueError
            If a row holds something that is not a value with an event time.
        """
        return [await self._read_view(query) for query in queries]

    async def check(self, tables: Mapping[str, str]) -> None:
        """Check that the table of each view, given by view name, can be read.

        Raises
        ------
        OnlineStoreUnavailableError
            If one cannot; the message names its view.
        """
        for view, table in tables.items():
            await self._fetch(view, f"SELECT 1 FROM {_quote(table)} LIMIT 1", ())  # noqa: S608 - the name is quoted

    async def close(self) -> None:
        """Close the connection."""
        self._disconnect()

    async def _read_view(self, query: ViewQuery) -> Mapping[bytes, EntityRow]:
        positions = {name: position for position, name in enumerate(query.features)}
        rows: dict[bytes, list[StoredValue | None]] = {}
        for start in range(0, len(query.keys), _KEYS_A_STATEMENT):
            keys = query.keys[start : start + _KEYS_A_STATEMENT]
            # The plus sign keeps SQLite from seeking every pair of key and feature.
            statement = (
                f"SELECT entity_key, feature_name, value, event_ts FROM {_quote(query.table)}"  # noqa: S608 - the name is quoted
                f" WHERE entity_key IN ({_marks(keys)})"
                f" AND +feature_name IN ({_marks(query.features)})"
            )
            for key, feature, value, event_sec in await self._fetch(
                query.view, statement, (*keys, *query.features)
            ):
                if not isinstance(event_sec, int) or not isinstance(value, bytes | None):
                    raise OnlineValueError(
                        f"Got a stored row of view {query.view!r} that is not in the layout of "
                        "Feast's SQLite online store, but expected a serialised value and an "
                        "event time in whole seconds."
                    )
                row = rows.get(key)
                if row is None:
                    row = rows[key] = [None] * len(positions)
                row[positions[feature]] = (value or b"", event_sec * 1_000_000)
        return rows

    async def _fetch(self, view: str, statement: str, values: Sequence[Any]) -> list[Any]:
        """Run one statement, waiting for a writer for at most the timeout."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_sec
        while True:
            try:
                return self._connect().execute(statement, values).fetchall()
            except sqlite3.Error as error:
                busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY
                if not busy or loop.time() > deadline:
                    self._disconnect()
                    raise _unavailable(view, error) from error
            except OSError as error:
                self._disconnect()
                raise OnlineStoreUnavailableError(
                    "The online store has no file yet; materialize the features first."
                ) from error
            await asyncio.sleep(_RETRY_DELAY_SEC)

    def _connect(self) -> sqlite3.Connection:
        """Return the connection, opened anew where the file was replaced meanwhile."""
        status = os.stat(self._path)  # noqa: PTH116 - called for every read; Path.stat costs twice as much
        if not stat.S_ISREG(status.st_mode):
            # Opening a pipe would block the event loop until somebody writes to it.
            raise FileNotFoundError(self._path)
        file = (status.st_dev, status.st_ino)
        if self._connection is None or file != self._opened_file:
            self._disconnect()
            self._connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=ro",
                uri=True,
                timeout=0,
                isolation_level=None,
            )
            self._opened_file = file
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _unavailable(view: str, error: sqlite3.Error) -> OnlineStoreUnavailableError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY:
        return OnlineStoreUnavailableError("The online store is locked by a writer for too long.")
    if code == sqlite3.SQLITE_ERROR:
        return OnlineStoreUnavailableError(
            f"The online store has no table for feature view {view!r}; apply and materialize it."
        )
    return OnlineStoreUnavailableError("The online store cannot be read.")


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
