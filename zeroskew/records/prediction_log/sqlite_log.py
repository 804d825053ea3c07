"""The prediction log in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from itertools import chain
from typing import Any, Final

from zeroskew.records.database.sqlite_connection import (
    SqliteStore,
    from_sqlite_time,
    to_sqlite_time,
)
from zeroskew.records.prediction_log.logged_row import COLUMNS, LoggedRow

__all__ = ["SqliteLog"]

_PLACES: Final = f"({', '.join('?' * len(COLUMNS))})"
_NAMES: Final = ", ".join(f'"{name}"' for name in COLUMNS)
_ROWS_A_STATEMENT: Final = 50
"""Each statement gives the event loop's thread the interpreter, and has to wait for it again."""

_SELECT: Final = f"SELECT {_NAMES} FROM prediction WHERE id = ? ORDER BY part"  # noqa: S608 - constants
_SELECT_REQUESTS: Final = (
    "SELECT version, request FROM prediction WHERE model = ? AND time <= ? AND role = 'answer'"
    " AND error IS NULL ORDER BY time DESC LIMIT ?"
)
_TIMES: Final = tuple(COLUMNS.index(name) for name in ("time", "logged_at"))
_DEGRADED: Final = COLUMNS.index("degraded")


class SqliteLog(SqliteStore):
    """Writes with a write-ahead log, so that whoever reads the file goes on, and waits for disk."""

    refusals = (sqlite3.IntegrityError, sqlite3.DataError)

    def write(self, rows: Sequence[LoggedRow]) -> None:
        """Write rows in one transaction; those that are there already stay as they are."""
        with self._transaction() as connection:
            for start in range(0, len(rows), _ROWS_A_STATEMENT):
                some = rows[start : start + _ROWS_A_STATEMENT]
                connection.execute(_insert(len(some)), list(chain(*map(_to_stored, some))))

    def read(self, prediction_id: str) -> list[LoggedRow]:
        """Return the rows of a prediction in their order; empty where there is none."""
        return [_from_stored(row) for row in self._connect().execute(_SELECT, (prediction_id,))]

    def read_requests(self, model: str, until: datetime, limit: int) -> list[tuple[int, str]]:
        """Return version and request of what a model answered until then, the newest first."""
        values = (model, to_sqlite_time(until), limit)
        return self._connect().execute(_SELECT_REQUESTS, values).fetchall()


@cache
def _insert(n_rows: int) -> str:
    places = ", ".join([_PLACES] * n_rows)
    return f"INSERT INTO prediction ({_NAMES}) VALUES {places} ON CONFLICT DO NOTHING"  # noqa: S608 - constants


def _to_stored(row: LoggedRow) -> tuple[Any, ...]:
    values: list[Any] = list(row)
    for place in _TIMES:
        values[place] = to_sqlite_time(values[place])
    return tuple(values)


def _from_stored(stored: Sequence[Any]) -> LoggedRow:
    values = list(stored)
    for place in _TIMES:
        values[place] = from_sqlite_time(values[place])
    values[_DEGRADED] = bool(values[_DEGRADED])
    return LoggedRow(*values)
