"""Notes in the database where a service keeps what it stores; free of SQLAlchemy."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from api.database.sqlite_connection import SqliteStore, to_sqlite_time
from api.places.online_address import name_online_store

__all__ = ["NOTE_SEC", "PlaceStore", "note_places", "open_place_store"]

NOTE_SEC: Final = 60.0
"""How often a service says where it keeps things."""

_NOTE: Final = (
    "INSERT INTO service_place (host, spool_dir, online_store, seen_at) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (host, spool_dir, online_store) DO UPDATE SET seen_at = excluded.seen_at"
)
Place = tuple[str, str, str]


class PlaceStore(Protocol):
    """Writes places. Its calls block; one thread at a time makes them."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What its calls raise when the database fails."""
        ...

    def note(self, place: Place, now: datetime) -> None:
        """Note that a service on a host has a spool and an online store there."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class _SqlitePlaces(SqliteStore):
    def note(self, place: Place, now: datetime) -> None:
        with self._transaction() as connection:
            connection.execute(_NOTE, (*place, to_sqlite_time(now)))


def open_place_store(url: str, *, timeout_sec: float) -> PlaceStore:
    """Return the store of places in the database at `url`, SQLite or PostgreSQL."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return _SqlitePlaces(rest.removeprefix("/"), timeout_sec=timeout_sec)
    from api.places.postgres_places import PostgresPlaces

    return PostgresPlaces(f"postgresql://{rest}", timeout_sec=timeout_sec)


def note_places(store: PlaceStore, *, spool_dir: Path, online_store: str) -> None:
    """Note where this service keeps its spool, and which online store it reads."""
    place = (socket.gethostname(), str(spool_dir.resolve()), name_online_store(online_store))
    store.note(place, datetime.now(UTC))
