"""Labels in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final

import psycopg
from psycopg import sql

from zeroskew.records.database.postgres_connection import PostgresStore
from zeroskew.records.labels.label_row import COLUMNS, LabelConflict, LabelRow, Outcome

__all__ = ["PostgresLabels"]

_NAMES: Final = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
_INSERT: Final = sql.SQL("INSERT INTO label ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
    _NAMES, sql.SQL(", ").join([sql.Placeholder()] * len(COLUMNS))
)
_SELECT: Final = sql.SQL("SELECT {} FROM label WHERE prediction_id = %s ORDER BY number").format(
    _NAMES
)
_KNOWN: Final = "SELECT body_sha256 FROM label WHERE idempotency_key = %s"


class PostgresLabels(PostgresStore):
    """Writes batches each in a savepoint of one transaction."""

    def write(self, batches: Sequence[Sequence[LabelRow]]) -> list[Outcome]:
        """Write batches in one transaction, and say what became of each; see `LabelStore`."""
        with self._lend() as connection, connection.transaction():
            return [_write_batch(connection, batch) for batch in batches]

    def read(self, prediction_id: str) -> list[LabelRow]:
        """Return the labels about a prediction, in the order in which they came."""
        with self._lend() as connection:
            return [_from_stored(row) for row in connection.execute(_SELECT, (prediction_id,))]


def _write_batch(connection: psycopg.Connection, batch: Sequence[LabelRow]) -> Outcome:
    are_new: list[bool] = []
    conflict = None
    with connection.transaction():
        for row in batch:
            is_new = connection.execute(_INSERT, row).rowcount == 1
            if not is_new:
                known = connection.execute(_KNOWN, (row.idempotency_key,)).fetchone()
                if known is None or known[0] != row.body_sha256:
                    conflict = LabelConflict(row.idempotency_key)
                    raise psycopg.Rollback
            are_new.append(is_new)
    return are_new if conflict is None else conflict


def _from_stored(stored: Sequence[Any]) -> LabelRow:
    row = LabelRow(*stored)
    return row._replace(
        time=None if row.time is None else row.time.astimezone(UTC),
        observed_at=row.observed_at.astimezone(UTC),
        received_at=row.received_at.astimezone(UTC),
    )
