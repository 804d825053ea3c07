"""A connection to PostgreSQL for what is written in groups; free of SQLAlchemy."""

from __future__ import annotations

import psycopg

__all__ = ["open_postgres"]


def open_postgres(url: str, *, timeout_sec: float) -> psycopg.Connection:
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
