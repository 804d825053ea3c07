"""The seam to the database of the prediction log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from zeroskew.contract.database_url import locate_database
from zeroskew.records.prediction_log.logged_row import LoggedRow

__all__ = ["LogStore", "open_log_store"]


class LogStore(Protocol):
    """Writes and reads logged predictions. Its calls block; one thread at a time makes them."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What its calls raise when the database fails."""
        ...

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """Those of its failures that are a row's fault, and come again however often it is sent."""
        ...

    def write(self, rows: Sequence[LoggedRow]) -> None:
        """Write rows in one transaction; those that are there already stay as they are.

        They are on disk when it returns.
        """
        ...

    def read(self, prediction_id: str) -> list[LoggedRow]:
        """Return the rows of a prediction in their order; empty where there is none."""
        ...

    def read_requests(self, model: str, until: datetime, limit: int) -> list[tuple[int, str]]:
        """Return version and request, as `LoggedRow` has it, of what a model answered.

        The newest `limit` answers that were made at `until` or before, the newest first.
        """
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def open_log_store(url: str, *, timeout_sec: float) -> LogStore:
    """Return the log's store in the database at `url`; it connects when it is first used.

    A SQLite file is written without importing SQLAlchemy, PostgreSQL through psycopg alone.

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
        from zeroskew.records.prediction_log.sqlite_log import SqliteLog

        return SqliteLog(str(place), timeout_sec=timeout_sec)
    from zeroskew.records.prediction_log.postgres_log import PostgresLog

    return PostgresLog(place, timeout_sec=timeout_sec)
