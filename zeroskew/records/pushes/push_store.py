"""The seam to the database of pushed rows, for those that write them and look at them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from zeroskew.contract.database_url import locate_database
from zeroskew.records.pushes.push_row import PushRow, WaitingPush

__all__ = ["PushStore", "open_push_store"]


class PushStore(Protocol):
    """Writes and reads pushed rows. Its calls block; one thread at a time makes them."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What its calls raise when the database fails."""
        ...

    def write(self, pushes: Sequence[PushRow]) -> None:
        """Write all in one transaction; what is written is on disk when this returns.

        What says the same as the newest that waits for its table is that request once more, and
        is not written again.
        """
        ...

    def read(self, *, after: int, limit: int) -> list[WaitingPush]:
        """Return pushes that wait for the lake, of all projects in the order of their numbers.

        Parameters
        ----------
        after
            The number that theirs are beyond.
        limit
            How many at most.
        """
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def open_push_store(url: str, *, timeout_sec: float) -> PushStore:
    """Return the store of pushed rows in the database at `url`; it connects when first used.

    Parameters
    ----------
    url
        A SQLAlchemy URL.
    timeout_sec
        How long a call waits for a lock, or for a server.

    Raises
    ------
    ValueError
        If it is neither SQLite nor PostgreSQL.
    """
    place = locate_database(url)
    if isinstance(place, Path):
        from zeroskew.records.pushes.sqlite_pushes import SqlitePushes

        return SqlitePushes(str(place), timeout_sec=timeout_sec)
    from zeroskew.records.pushes.postgres_pushes import PostgresPushes

    return PostgresPushes(place, timeout_sec=timeout_sec)
