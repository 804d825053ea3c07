"""The seam to the database of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from zeroskew.contract.database_url import locate_database
from zeroskew.records.labels.label_row import LabelRow, Outcome

__all__ = ["LabelStore", "open_label_store"]


class LabelStore(Protocol):
    """Writes and reads labels. Its calls block; one thread at a time makes them."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What its calls raise when the database fails."""
        ...

    def write(self, batches: Sequence[Sequence[LabelRow]]) -> list[Outcome]:
        """Write batches in one transaction, and say what became of each.

        A label whose key is there already with the same body stays as it is. A batch in which
        a key stands for another label leaves nothing; the other batches are written all the
        same. What is written is on disk when this returns.
        """
        ...

    def read(self, prediction_id: str) -> list[LabelRow]:
        """Return the labels about a prediction, in the order in which they came."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def open_label_store(url: str, *, timeout_sec: float) -> LabelStore:
    """Return the store of labels in the database at `url`; it connects when it is first used.

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
        from zeroskew.records.labels.sqlite_labels import SqliteLabels

        return SqliteLabels(str(place), timeout_sec=timeout_sec)
    from zeroskew.records.labels.postgres_labels import PostgresLabels

    return PostgresLabels(place, timeout_sec=timeout_sec)
