"""What writes rows in groups to PostgreSQL; free of SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

__all__ = ["PostgresStore"]


class PostgresStore:
    """Keeps a connection that opens when it is first used, and again after a failure.

    Parameters
    ----------
    url
        As libpq takes it.
    timeout_sec
        How long a connection, a statement or a lost packet is waited for.
    """

    failures = (psycopg.Error, OSError)

    def __init__(self, url: str, *, timeout_sec: float) -> None:
        self._url = url
        self._timeout_sec = timeout_sec
        self._connection: psycopg.Connection | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    @contextmanager
    def _lend(self) -> Iterator[psycopg.Connection]:
        """Lend the connection; after a failure, when its state is not known, it is closed."""
        try:
            if self._connection is None:
                self._connection = _open_postgres(self._url, timeout_sec=self._timeout_sec)
            yield self._connection
        except BaseException:
            self.close()
            raise


def _open_postgres(url: str, *, timeout_sec: float) -> psycopg.Connection:
    """Connect; no statement, and no packet that is lost, is waited for longer than told.

    Raises
    ------
    psycopg.Error
        If the server cannot be reached, or refuses.
    """
    milliseconds = int(timeout_sec * 1000)
    return psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=max(2, int(timeout_sec)),
        options=f"-c statement_timeout={milliseconds} -c TimeZone=UTC",
        tcp_user_timeout=milliseconds,
    )
