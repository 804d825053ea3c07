"""Notes in the database where a service keeps what it stores; free of SQLAlchemy."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from zeroskew.contract.database_url import locate_database
from zeroskew.records.database.sqlite_connection import to_sqlite_time

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


class _SqlitePlaces:
    """Opens the file for each note: once a minute, and how the file is kept is others' business."""

    failures = (sqlite3.Error,)

    def __init__(self, path: Path, *, timeout_sec: float) -> None:
        self._uri = f"{path.absolute().as_uri()}?mode=rw"
        self._timeout_sec = timeout_sec

    def note(self, place: Place, now: datetime) -> None:
        with (
            closing(sqlite3.connect(self._uri, uri=True, timeout=self._timeout_sec)) as database,
            database,
        ):
            database.execute(_NOTE, (*place, to_sqlite_time(now)))

    def close(self) -> None:
        """Close nothing."""


def open_place_store(url: str, *, timeout_sec: float) -> PlaceStore:
    """Return the store of places in the database at `url`, SQLite or PostgreSQL."""
    place = locate_database(url)
    if isinstance(place, Path):
        return _SqlitePlaces(place, timeout_sec=timeout_sec)
    from zeroskew.records.places.postgres_places import PostgresPlaces

    return PostgresPlaces(place, timeout_sec=timeout_sec)


def note_places(store: PlaceStore, *, spool_dir: Path, online_store: str) -> None:
    """Note where this service keeps its spool, and the name of the online store that it reads."""
    place = (socket.gethostname(), str(spool_dir.resolve()), online_store)
    store.note(place, datetime.now(UTC))
