"""The prediction log in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final

import psycopg
from psycopg import sql

from api.database.postgres_connection import open_postgres
from api.prediction_log.logged_rows import COLUMNS, LoggedRow

__all__ = ["PostgresLog"]

_NAMES: Final = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
_STAGE: Final = sql.SQL(
    "CREATE TEMPORARY TABLE IF NOT EXISTS staged (LIKE prediction) ON COMMIT DELETE ROWS"
)
_COPY: Final = sql.SQL("COPY staged ({}) FROM STDIN").format(_NAMES)
_INSERT: Final = sql.SQL("INSERT INTO prediction SELECT * FROM staged ON CONFLICT DO NOTHING")
_SELECT: Final = sql.SQL('SELECT {} FROM prediction WHERE id = %s ORDER BY "row"').format(_NAMES)


class PostgresLog:
    """Copies rows to a table of the session, and from there to the log, in one transaction.

    Parameters
    ----------
    url
        As libpq takes it.
    timeout_sec
        How long a connection, a statement or a lost packet is waited for.
    """

    failures = (psycopg.Error, OSError)
    refusals = (psycopg.DataError, psycopg.IntegrityError)

    def __init__(self, url: str, *, timeout_sec: float) -> None:
        self._url = url
        self._timeout_sec = timeout_sec
        self._connection: psycopg.Connection | None = None

    def write(self, rows: Sequence[LoggedRow]) -> None:
        """Write rows in one transaction; those that are there already stay as they are."""
        try:
            connection = self._connect()
            with connection.transaction(), connection.cursor() as cursor:
                cursor.execute(_STAGE)
                with cursor.copy(_COPY) as copy:
                    for row in rows:
                        copy.write_row(row)
                cursor.execute(_INSERT)
        except BaseException:
            self.close()  # Its state is not known; the next call begins anew.
            raise

    def read(self, prediction_id: str) -> list[LoggedRow]:
        """Return the rows of a prediction in their order; empty where there is none."""
        try:
            found = self._connect().execute(_SELECT, (prediction_id,)).fetchall()
        except BaseException:
            self.close()
            raise
        return [_from_stored(row) for row in found]

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _connect(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = open_postgres(self._url, timeout_sec=self._timeout_sec)
        return self._connection


def _from_stored(stored: Sequence[Any]) -> LoggedRow:
    row = LoggedRow(*stored)
    return row._replace(time=row.time.astimezone(UTC), logged_at=row.logged_at.astimezone(UTC))
