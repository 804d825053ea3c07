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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from api.errors import OnlineStoreUnavailableError, OnlineValueError
from api.prediction.entity_rows import EntityRow, absent_row, distinct_keys, spread_rows
from api.prediction.online_features import (
    NEVER_US,
    EntityKeys,
    ReadLayout,
    StoredFeatures,
    StoredView,
)

__all__ = ["SqliteFeatureReader"]

_KEYS_A_STATEMENT: Final = 500
_MOSTLY: Final = 0.8
_RETRY_DELAY_SEC: Final = 0.002
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_CELL_TYPES: Final = frozenset({bytes, type(None)})
_NEVER_SEC: Final = NEVER_US // 1_000_000
_MAX_SEC: Final = 2**62 // 1_000_000
_Answer = TypeVar("_Answer")
_EntityRows: TypeAlias = dict[bytes, EntityRow]


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
        self._tables: WeakKeyDictionary[StoredView, _Table] = WeakKeyDictionary()

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
        distinct = [distinct_keys(row_keys) for row_keys in keys]
        views = [
            (self._table(view), entities)
            for lookup, entities in zip(layout.lookups, distinct, strict=True)
            for view in lookup.views
        ]
        found = await self._wait_for(lambda connection: _read_views(connection, views))
        cells, event_sec = spread_rows(layout, keys, found, never=_NEVER_SEC)
        return StoredFeatures(cells, _to_microseconds(event_sec, (len(cells), layout.n_features)))

    async def check(self, layout: ReadLayout) -> None:
        """Check that the table of every view of a layout can be read.

        Raises
        ------
        OnlineStoreUnavailableError
            If one cannot; the message names its view.
        """
        tables = [self._table(view) for view in layout.views]
        await self._wait_for(lambda connection: _probe_tables(connection, tables))

    async def close(self) -> None:
        """Close the connection."""
        self._disconnect()

    async def _wait_for(self, read: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        """Run `read` in one transaction, again while a writer is in the way, until the timeout.

        What it returns is one state of the file: no commit of a writer comes in between.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_sec
        while True:
            try:
                connection = self._connect()
                connection.execute("BEGIN")
                try:
                    return read(connection)
                finally:
                    connection.execute("ROLLBACK")
            except sqlite3.Error as error:
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

    def _table(self, view: StoredView) -> _Table:
        table = self._tables.get(view)
        if table is None:
            table = self._tables[view] = _Table(view)
        return table

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


class _Table:
    """A view's table: its statements, and where a feature's cell stands in a row.

    Feast keeps a view's features side by side, so reading all of them and leaving some out
    is faster than asking for each; where most are left out it is not.
    """

    def __init__(self, view: StoredView) -> None:
        self._view = view
        self._positions = {name: position for position, name in enumerate(view.features)}
        self._is_wide = False
        self._statements: dict[int, str] = {}

    def read(self, connection: sqlite3.Connection, keys: Sequence[bytes]) -> _EntityRows:
        """Return the rows of the keys that the table has.

        Raises
        ------
        OnlineValueError
            If a row is not in Feast's layout.
        """
        rows: _EntityRows = {}
        for start in range(0, len(keys), _KEYS_A_STATEMENT):
            some = keys[start : start + _KEYS_A_STATEMENT]
            values = (*some, *self._view.features) if self._is_wide else some
            self._collect(self._fetch(connection, self._select(len(some)), values), rows)
        return rows

    def probe(self, connection: sqlite3.Connection) -> None:
        """Read nothing, to see that the table is there."""
        self._fetch(connection, f"SELECT 1 FROM {_quote(self._view.table)} LIMIT 1", ())  # noqa: S608 - the name is quoted

    def _fetch(
        self, connection: sqlite3.Connection, statement: str, values: Sequence[Any]
    ) -> list[Any]:
        try:
            return connection.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR:
                raise OnlineStoreUnavailableError(
                    f"The online store has no table for feature view {self._view.name!r}; "
                    "apply and materialize it."
                ) from error
            raise

    def _select(self, n_keys: int) -> str:
        statement = self._statements.get(n_keys)
        if statement is None:
            # The plus sign keeps SQLite from seeking every pair of key and feature.
            chosen = f" AND +feature_name IN ({_marks(len(self._view.features))})"
            statement = self._statements[n_keys] = (
                "SELECT entity_key, feature_name, value, event_ts"  # noqa: S608 - the name is quoted
                f" FROM {_quote(self._view.table)} WHERE entity_key IN ({_marks(n_keys)})"
                f"{chosen if self._is_wide else ''}"
            )
        return statement

    def _collect(self, found: Sequence[Any], rows: _EntityRows) -> None:
        """Add the cells that a statement found to the rows of their keys."""
        _check_layout(self._view, found)
        n_left_out = 0
        cells: list[bytes | None] = []
        event_sec: list[int] = []
        last = None
        for key, feature, value, seconds in found:
            if key != last:
                last = key
                if key not in rows:
                    rows[key] = absent_row(self._view, _NEVER_SEC)
                cells, event_sec = rows[key]
            position = self._positions.get(feature)
            if position is None:
                n_left_out += 1
            else:
                cells[position] = value
                event_sec[position] = seconds
        if n_left_out > _MOSTLY * len(found):
            self._is_wide = True
            self._statements.clear()


def _probe_tables(connection: sqlite3.Connection, tables: Sequence[_Table]) -> None:
    for table in tables:
        table.probe(connection)


def _read_views(
    connection: sqlite3.Connection, views: Sequence[tuple[_Table, Sequence[bytes]]]
) -> list[_EntityRows]:
    return [table.read(connection, keys) for table, keys in views]


def _to_microseconds(event_sec: list[list[int]], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return int64 microseconds; `NEVER_US` where a cell has no event time."""
    try:
        seconds = np.array(event_sec, np.int64).reshape(shape)
    except OverflowError as error:
        raise _beyond_range() from error
    never = seconds == _NEVER_SEC
    if ((np.abs(seconds) > _MAX_SEC) & ~never).any():
        raise _beyond_range()
    microseconds = seconds * 1_000_000
    microseconds[never] = NEVER_US
    return microseconds


def _beyond_range() -> OnlineValueError:
    return OnlineValueError(
        f"Got an event time beyond {_MAX_SEC} seconds from 1970, but expected one within."
    )


def _check_layout(view: StoredView, found: Sequence[Any]) -> None:
    cell_types = {type(row[2]) for row in found}
    time_types = {type(row[3]) for row in found}
    if not (cell_types <= _CELL_TYPES and time_types <= {int}):
        raise OnlineValueError(
            f"Got a stored row of view {view.name!r} that is not in the layout of "
            "Feast's SQLite online store, but expected a serialised value and an "
            "event time in whole seconds."
        )


def _unavailable(error: sqlite3.Error) -> OnlineStoreUnavailableError:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
        return OnlineStoreUnavailableError("The online store is locked by a writer for too long.")
    return OnlineStoreUnavailableError("The online store cannot be read.")


def _marks(n_values: int) -> str:
    return ",".join("?" * n_values)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
