"""Pushed rows in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from psycopg import sql

from zeroskew.records.database.postgres_connection import PostgresStore
from zeroskew.records.pushes.push_row import COLUMNS, PushRow, WaitingPush

__all__ = ["PostgresPushes"]

_INSERT: Final = sql.SQL("""
INSERT INTO pushed_rows ({})
SELECT %(project)s::text, %(source)s::text, %(rows)s::text, %(sha256)s::text,
    %(received_at)s::timestamptz
WHERE (
    SELECT sha256 FROM pushed_rows WHERE project = %(project)s::text AND source = %(source)s::text
    ORDER BY number DESC LIMIT 1
) IS DISTINCT FROM %(sha256)s::text
""").format(sql.SQL(", ").join(map(sql.Identifier, COLUMNS)))


class PostgresPushes(PostgresStore):
    """Writes what comes in one transaction."""

    def write(self, pushes: Sequence[PushRow]) -> None:
        """Write all in one transaction; see `PushStore`."""
        with self._lend() as connection, connection.transaction():
            for push in pushes:
                connection.execute(_INSERT, push._asdict())

    def read(self, *, after: int, limit: int) -> list[WaitingPush]:
        """Return pushes that wait for the lake; see `PushStore`."""
        with self._lend() as connection:
            found = connection.execute(
                "SELECT number, project, source, rows, sha256 FROM pushed_rows"
                " WHERE number > %s ORDER BY number LIMIT %s",
                (after, limit),
            )
            return [WaitingPush(*row) for row in found]
