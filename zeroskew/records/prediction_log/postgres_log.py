"""The prediction log in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from psycopg import sql

from zeroskew.records.database.postgres_connection import PostgresStore
from zeroskew.records.prediction_log.logged_row import COLUMNS, LoggedRow

__all__ = ["PostgresLog"]

_NAMES: Final = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
_STAGE: Final = sql.SQL(
    "CREATE TEMPORARY TABLE IF NOT EXISTS staged (LIKE prediction) ON COMMIT DELETE ROWS"
)
_COPY: Final = sql.SQL("COPY staged ({}) FROM STDIN").format(_NAMES)
_INSERT: Final = sql.SQL("INSERT INTO prediction SELECT * FROM staged ON CONFLICT DO NOTHING")
_SELECT_REQUESTS: Final = (
    "SELECT version, request FROM prediction WHERE model = %s AND time <= %s AND role = 'answer'"
    " AND error IS NULL ORDER BY time DESC LIMIT %s"
)
_SELECT: Final = sql.SQL("SELECT {} FROM prediction WHERE id = %s ORDER BY part").format(_NAMES)


class PostgresLog(PostgresStore):
    """Copies rows to a table of the session, and from there to the log, in one transaction."""

    refusals = (psycopg.DataError, psycopg.IntegrityError)

    def write(self, rows: Sequence[LoggedRow]) -> None:
        """Write rows in one transaction; those that are there already stay as they are."""
        with self._lend() as connection, connection.transaction(), connection.cursor() as cursor:
            cursor.execute(_STAGE)
            with cursor.copy(_COPY) as copy:
                for row in rows:
                    copy.write_row(row)
            cursor.execute(_INSERT)

    def read(self, prediction_id: str) -> list[LoggedRow]:
        """Return the rows of a prediction in their order; empty where there is none."""
        with self._lend() as connection:
            return [_from_stored(row) for row in connection.execute(_SELECT, (prediction_id,))]

    def read_requests(self, model: str, until: datetime, limit: int) -> list[tuple[int, str]]:
        """Return version and request of what a model answered until then, the newest first."""
        with self._lend() as connection:
            return connection.execute(_SELECT_REQUESTS, (model, until, limit)).fetchall()


def _from_stored(stored: Sequence[Any]) -> LoggedRow:
    row = LoggedRow(*stored)
    return row._replace(time=row.time.astimezone(UTC), logged_at=row.logged_at.astimezone(UTC))
