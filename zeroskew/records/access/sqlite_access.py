"""Reads keys and tenants from the registry's SQLite file without SQLAlchemy."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Final

from zeroskew.records.access.registered_access import AccessSnapshot, RegisteredKey
from zeroskew.records.database.sqlite_connection import from_sqlite_time, to_sqlite_time
from zeroskew.records.registry.sqlite_snapshots import SqliteSnapshots, select_generation

__all__ = ["SqliteAccess"]

_TIMES: Final = ("created_at", "expires_at", "revoked_at", "last_used_at")
_COLUMNS: Final = (
    *("id", "sha256", "name", "scopes", "tenant", "requests_per_sec", "requests_per_day"),
    *("created_by", *_TIMES),
)


class SqliteAccess:
    """Keys and tenants in a SQLite file; see `SqliteSnapshots` for the arguments."""

    failures = (sqlite3.Error,)

    def __init__(self, path: Path, *, busy_timeout_sec: float) -> None:
        self._snapshots = SqliteSnapshots(path, busy_timeout_sec=busy_timeout_sec)

    def close(self) -> None:
        """Do nothing: no connection outlives its call."""

    def read_generation(self) -> int:
        """Return a number that every change raises."""
        with self._snapshots.open() as connection:
            return select_generation(connection)

    def read_access(self) -> AccessSnapshot:
        """Return keys and tenants in one consistent read."""
        query = f"SELECT {', '.join(_COLUMNS)} FROM api_key"  # noqa: S608 - constants
        with self._snapshots.open() as connection:
            generation = select_generation(connection)
            keys = [dict(zip(_COLUMNS, row, strict=True)) for row in connection.execute(query)]
            tenants = dict(
                connection.execute("SELECT name, tenant FROM model WHERE tenant IS NOT NULL")
            )
        for key in keys:
            key |= {name: from_sqlite_time(key[name]) for name in _TIMES}
        return AccessSnapshot(
            generation=generation,
            keys=tuple(RegisteredKey.model_validate(key) for key in keys),
            tenants=tenants,
        )

    def note_uses(self, uses: dict[str, datetime]) -> None:
        """Note when keys were last used, by id; an earlier time changes nothing."""
        texts = {key_id: to_sqlite_time(used_at) for key_id, used_at in sorted(uses.items())}
        rows = [(text, key_id, text) for key_id, text in texts.items()]
        with self._snapshots.open("BEGIN IMMEDIATE") as connection:
            connection.executemany(
                "UPDATE api_key SET last_used_at = ? WHERE id = ?"
                " AND (last_used_at IS NULL OR last_used_at < ?)",
                rows,
            )
            connection.execute("COMMIT")
