"""Pushed rows in a SQLite file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from zeroskew.records.database.sqlite_connection import SqliteStore, to_sqlite_time
from zeroskew.records.pushes.push_row import COLUMNS, PushRow, WaitingPush

__all__ = ["SqlitePushes"]

_NAMES: Final = ", ".join(COLUMNS)
_INSERT: Final = f"""
INSERT INTO pushed_rows ({_NAMES})
SELECT :project, :source, :rows, :sha256, :received_at
WHERE (
    SELECT sha256 FROM pushed_rows WHERE project = :project AND source = :source
    ORDER BY number DESC LIMIT 1
) IS NOT :sha256
"""  # noqa: S608 - constants


class SqlitePushes(SqliteStore):
    """Writes what comes in one transaction."""

    def write(self, pushes: Sequence[PushRow]) -> None:
        """Write all in one transaction; see `PushStore`."""
        with self._transaction() as connection:
            for push in pushes:
                row = push._asdict() | {"received_at": to_sqlite_time(push.received_at)}
                connection.execute(_INSERT, row)

    def read(self, *, after: int, limit: int) -> list[WaitingPush]:
        """Return pushes that wait for the lake; see `PushStore`."""
        found = self._connect().execute(
            "SELECT number, project, source, rows, sha256 FROM pushed_rows"
            " WHERE number > ? ORDER BY number LIMIT ?",
            (after, limit),
        )
        return [WaitingPush(*row) for row in found]
