"""Databases of their own on the PostgreSQL server of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

__all__ = ["open_database"]

HOST: Final = "127.0.0.1"
PORT: Final = 5432
USER: Final = "postgres"


@contextmanager
def open_database() -> Iterator[dict[str, Any]]:
    """Create a database, and drop it in the end; yield what Feast wants to know of it.

    Where no server is reachable the test is skipped; in CI that is a failure.
    """
    name = f"zeroskew_{uuid4().hex[:12]}"
    with _connect() as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield {
                "type": "postgres",
                "host": HOST,
                "port": PORT,
                "database": name,
                "user": USER,
                "password": os.environ.get("PGPASSWORD", "unused"),
                "sslmode": "disable",
            }
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            server.execute(drop)


def _connect() -> psycopg.Connection:
    try:
        return psycopg.connect(host=HOST, port=PORT, user=USER, dbname="postgres", autocommit=True)
    except psycopg.OperationalError:
        message = f"Got no PostgreSQL at {HOST}:{PORT} for user {USER}, but expected one."
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
