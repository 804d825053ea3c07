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
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from api.errors import OnlineStoreUnavailableError, OnlineValueError
from api.prediction.online_features import (
    NEVER_US,
    EntityKeys,
    ReadLayout,
    StoredFeatures,
    StoredView,
)

__all__ = ["SqliteFeatureReader"]

_KEYS_A_STATEMENT: Final = 500
_RETRY_DELAY_SEC: Final = 0.002
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_CELL_TYPES: Final = frozenset({bytes, type(None)})
_NEVER_SEC: Final = NEVER_US // 1_000_000
_MAX_SEC: Final = 2**62 // 1_000_000
_EntityRow: TypeAlias = tuple[list[bytes | None], list[int]]


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
        deadline = asyncio.get_running_loop().time() + self._timeout_sec
        n_rows = len(keys[0]) if keys else 0
        cells: list[list[bytes | None]] = [[] for _ in range(n_rows)]
        event_sec: list[list[int]] = [[] for _ in range(n_rows)]
        for lookup, row_keys in zip(layout.lookups, keys, strict=True):
            unique = tuple({key: None for key in row_keys if key is not None})
            for view in lookup.views:
                found = await self._read_view(view, unique, deadline)
                width = len(view.features)
                absent: _EntityRow = ([None] * width, [_NEVER_SEC] * width)
                for row, key in enumerate(row_keys):
                    entity = absent if key is None else found.get(key, absent)
                    cells[row] += entity[0]
                    event_sec[row] += entity[1]
        return StoredFeatures(cells, _to_microseconds(event_sec, (n_rows, layout.n_features)))

    async def check(self, layout: ReadLayout) -> None:
        """Check that the table of every view of a layout can be read.

        Raises
        ------
        OnlineStoreUnavailableError
            If one cannot; the message names its view.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout_sec
        for view in layout.views:
            await self._fetch(view, f"SELECT 1 FROM {_quote(view.table)} LIMIT 1", (), deadline)  # noqa: S608 - the name is quoted

    async def close(self) -> None:
        """Close the connection."""
        self._disconnect()

    async def _read_view(
        self, view: StoredView, keys: Sequence[bytes], deadline: float
    ) -> dict[bytes, _EntityRow]:
        width = len(view.features)
        positions = {name: position for position, name in enumerate(view.features)}
        rows: dict[bytes, _EntityRow] = {}
        for start in range(0, len(keys), _KEYS_A_STATEMENT):
            some = keys[start : start + _KEYS_A_STATEMENT]
            # The plus sign keeps SQLite from seeking every pair of key and feature.
            statement = (
                f"SELECT entity_key, feature_name, value, event_ts FROM {_quote(view.table)}"  # noqa: S608 - the name is quoted
                f" WHERE entity_key IN ({_marks(some)})"
                f" AND +feature_name IN ({_marks(view.features)})"
            )
            values = (*some, *view.features)
            for key, feature, value, event_sec in await self._fetch(
                view, statement, values, deadline
            ):
                row = rows.get(key)
                if row is None:
                    row = rows[key] = ([None] * width, [_NEVER_SEC] * width)
                position = positions[feature]
                row[0][position] = value
                row[1][position] = event_sec
        _check_layout(view, rows.values())
        return rows

    async def _fetch(
        self, view: StoredView, statement: str, values: Sequence[Any], deadline: float
    ) -> list[Any]:
        """Run one statement, waiting for a writer until the deadline at most."""
        while True:
            try:
                return self._connect().execute(statement, values).fetchall()
            except sqlite3.Error as error:
                busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY
                if not busy or asyncio.get_running_loop().time() > deadline:
                    self._disconnect()
                    raise _unavailable(view.name, error) from error
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


def _check_layout(view: StoredView, rows: Iterable[_EntityRow]) -> None:
    for cells, event_sec in rows:
        if not (
            _CELL_TYPES.issuperset(map(type, cells)) and {int}.issuperset(map(type, event_sec))
        ):
            raise OnlineValueError(
                f"Got a stored row of view {view.name!r} that is not in the layout of "
                "Feast's SQLite online store, but expected a serialised value and an "
                "event time in whole seconds."
            )


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
