"""Reads features from the SQLite file that Feast's own online store writes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from zeroskew.contract.errors.service import OnlineStoreUnavailableError
from zeroskew.online.reader import EntityKeys, ReadLayout, StoredFeatures
from zeroskew.online.sqlite.layout import CACHED_STATEMENTS, SqliteLayout, probe_tables
from zeroskew.online.values.kept_entities import KeptBytes

__all__ = ["SqliteFeatureReader"]

_RETRY_DELAY_SEC: Final = 0.002
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_HALF_WRITTEN: Final = sqlite3.SQLITE_READONLY_ROLLBACK
_Answer = TypeVar("_Answer")


class SqliteFeatureReader:
    """A reader on one persistent read-only connection, used in the event loop.

    A read takes some 50 µs, less than handing it to a thread would; one of entities that were read
    before takes some 10 while nobody writes. A read that meets a commit of Feast's waits without
    blocking the loop; one that meets what a killed writer left half written lets SQLite take that
    back first.

    Parameters
    ----------
    path
        The online store's file. It need not exist yet, and may be replaced by another one.
    timeout_sec
        How long a read waits for a writer before it gives up.
    """

    def __init__(self, path: Path, *, timeout_sec: float) -> None:
        self.cells_at_once: Final = 768
        self._path = path
        self._timeout_sec = timeout_sec
        self._connection: sqlite3.Connection | None = None
        self._opened_file: tuple[int, int] | None = None
        self._kept_bytes = KeptBytes()
        self._layouts: WeakKeyDictionary[ReadLayout, SqliteLayout] = WeakKeyDictionary()

    async def read(self, layout: ReadLayout, keys: Sequence[EntityKeys]) -> StoredFeatures:
        """Return the stored features of some request rows.

        Parameters
        ----------
        layout
            What to read.
        keys
            For each of ``layout.lookups`` the keys of all rows, in the order of the rows.

        Raises
        ------
        OnlineStoreUnavailableError
            If the file or a view's table is missing, damaged, or locked for too long.
        OnlineValueError
            If a row holds something that is not a value with an event time.
        """
        prepared = self._layouts.get(layout)
        if prepared is None:
            prepared = self._layouts[layout] = SqliteLayout(layout, self._kept_bytes)
        return await self._wait_for(lambda connection: prepared.read(connection, layout, keys))

    async def check(self, layout: ReadLayout) -> None:
        """Check that the table of every view of a layout can be read.

        Raises
        ------
        OnlineStoreUnavailableError
            If one cannot; the message names its view.
        """
        await self._wait_for(lambda connection: probe_tables(connection, layout))

    async def close(self) -> None:
        """Close the connection."""
        self._disconnect()

    async def _wait_for(self, read: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        """Run `read`, again while a writer is in the way, until the timeout."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_sec
        is_repaired = False
        while True:
            try:
                return read(self._connect())
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) == _HALF_WRITTEN and not is_repaired:
                    is_repaired = True
                    self._repair()
                    continue
                busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY
                if not busy or loop.time() > deadline:
                    self._disconnect()
                    raise _unavailable(error) from error
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
                cached_statements=CACHED_STATEMENTS,
            )
            self._opened_file = file
        return self._connection

    def _repair(self) -> None:
        """Take back what a writer that was killed left half written; a reader alone may not."""
        self._disconnect()
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._path, timeout=0)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _unavailable(error: sqlite3.Error) -> OnlineStoreUnavailableError:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
        return OnlineStoreUnavailableError("The online store is locked by a writer for too long.")
    return OnlineStoreUnavailableError("The online store cannot be read.")
