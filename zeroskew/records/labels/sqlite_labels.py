"""Labels in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from zeroskew.records.database.sqlite_connection import (
    SqliteStore,
    from_sqlite_time,
    to_sqlite_time,
)
from zeroskew.records.labels.label_row import COLUMNS, LabelConflict, LabelRow, Outcome

__all__ = ["SqliteLabels"]

_NAMES: Final = ", ".join(f'"{name}"' for name in COLUMNS)
_PLACES: Final = ", ".join("?" * len(COLUMNS))
_INSERT: Final = f"INSERT INTO label ({_NAMES}) VALUES ({_PLACES}) ON CONFLICT DO NOTHING"  # noqa: S608 - constants
_SELECT: Final = f"SELECT {_NAMES} FROM label WHERE prediction_id = ? ORDER BY number"  # noqa: S608 - as above
_KNOWN: Final = "SELECT body_sha256 FROM label WHERE idempotency_key = ?"
_TIMES: Final = tuple(COLUMNS.index(name) for name in ("time", "observed_at", "received_at"))


class SqliteLabels(SqliteStore):
    """Writes batches each in a savepoint of one transaction."""

    def write(self, batches: Sequence[Sequence[LabelRow]]) -> list[Outcome]:
        """Write batches in one transaction, and say what became of each; see `LabelStore`."""
        with self._transaction() as connection:
            return [_write_batch(connection, batch) for batch in batches]

    def read(self, prediction_id: str) -> list[LabelRow]:
        """Return the labels about a prediction, in the order in which they came."""
        return [_from_stored(row) for row in self._connect().execute(_SELECT, (prediction_id,))]


def _write_batch(connection: sqlite3.Connection, batch: Sequence[LabelRow]) -> Outcome:
    connection.execute("SAVEPOINT batch")
    are_new = []
    for row in batch:
        is_new = connection.execute(_INSERT, _to_stored(row)).rowcount == 1
        if not is_new:
            (known,) = connection.execute(_KNOWN, (row.idempotency_key,)).fetchone()
            if known != row.body_sha256:
                connection.execute("ROLLBACK TO batch")
                connection.execute("RELEASE batch")
                return LabelConflict(row.idempotency_key)
        are_new.append(is_new)
    connection.execute("RELEASE batch")
    return are_new


def _to_stored(row: LabelRow) -> tuple[Any, ...]:
    values: list[Any] = list(row)
    for place in _TIMES:
        values[place] = to_sqlite_time(values[place])
    return tuple(values)


def _from_stored(stored: Sequence[Any]) -> LabelRow:
    values = list(stored)
    for place in _TIMES:
        values[place] = from_sqlite_time(values[place])
    return LabelRow(*values)
