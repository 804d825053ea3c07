"""Reads keys and tenants from the registry's SQLite file without SQLAlchemy."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from zeroskew.records.access.registered_access import AccessSnapshot, RegisteredKey
from zeroskew.records.registry.sqlite_registry import SqliteRegistry, read_time, write_time

__all__ = ["SqliteAccess"]

_TIMES: Final = ("created_at", "expires_at", "revoked_at", "last_used_at")
_COLUMNS: Final = (
    *("id", "sha256", "name", "scopes", "tenant", "requests_per_sec", "requests_per_day"),
    *("created_by", *_TIMES),
)


class SqliteAccess(SqliteRegistry):
    """Keys and tenants in a SQLite file; as `SqliteRegistry`, and in its manner."""

    def read_access(self) -> AccessSnapshot:
        """Return keys and tenants in one consistent read."""
        query = f"SELECT {', '.join(_COLUMNS)} FROM api_key"  # noqa: S608 - constants
        with self._snapshot() as connection:
            (generation,) = connection.execute("SELECT value FROM registry_generation").fetchone()
            keys = [dict(zip(_COLUMNS, row, strict=True)) for row in connection.execute(query)]
            tenants = dict(
                connection.execute("SELECT name, tenant FROM model WHERE tenant IS NOT NULL")
            )
        for key in keys:
            key |= {name: read_time(key[name]) for name in _TIMES if key[name] is not None}
        return AccessSnapshot(
            generation=generation,
            keys=tuple(RegisteredKey.model_validate(key) for key in keys),
            tenants=tenants,
        )

    def note_uses(self, uses: dict[str, datetime]) -> None:
        """Note when keys were last used, by id; an earlier time changes nothing."""
        texts = {key_id: write_time(used_at) for key_id, used_at in sorted(uses.items())}
        rows = [(text, key_id, text) for key_id, text in texts.items()]
        with self._snapshot("BEGIN IMMEDIATE") as connection:
            connection.executemany(
                "UPDATE api_key SET last_used_at = ? WHERE id = ?"
                " AND (last_used_at IS NULL OR last_used_at < ?)",
                rows,
            )
            connection.execute("COMMIT")
