"""The services' places in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from psycopg import sql

from zeroskew.records.database.postgres_connection import PostgresStore

__all__ = ["PostgresPlaces"]

_NOTE: Final = sql.SQL(
    "INSERT INTO service_place (host, spool_dir, online_store, seen_at) VALUES (%s, %s, %s, %s)"
    " ON CONFLICT (host, spool_dir, online_store) DO UPDATE SET seen_at = excluded.seen_at"
)


class PostgresPlaces(PostgresStore):
    """Writes a row a place."""

    def note(self, place: tuple[str, str, str], now: datetime) -> None:
        """Note that a service on a host has a spool and an online store there."""
        with self._lend() as connection:
            connection.execute(_NOTE, (*place, now))
