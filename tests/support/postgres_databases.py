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

from tests.support.canaries import DATABASE_PASSWORD

__all__ = ["open_database"]

HOST: Final = "127.0.0.1"
PORT: Final = 5432
USER: Final = "postgres"


@contextmanager
def open_database(encoding: str = "UTF8") -> Iterator[dict[str, Any]]:
    """Create a database and its owner, and drop both in the end; yield how Feast finds it.

    Where no server is reachable the test is skipped; in CI that is a failure.
    """
    name = f"zeroskew_{uuid4().hex[:12]}"
    with _connect() as server:
        both = {"name": sql.Identifier(name), "password": sql.Literal(DATABASE_PASSWORD)}
        server.execute(sql.SQL("CREATE ROLE {name} LOGIN PASSWORD {password}").format(**both))
        create = (
            "CREATE DATABASE {name} OWNER {name} ENCODING {encoding} LOCALE 'C' TEMPLATE template0"
        )
        server.execute(sql.SQL(create).format(**both, encoding=sql.Literal(encoding)))
        try:
            yield {
                "type": "postgres",
                "host": HOST,
                "port": PORT,
                "database": name,
                "user": name,
                "password": DATABASE_PASSWORD,
                "sslmode": "disable",
            }
        finally:
            server.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**both))
            server.execute(sql.SQL("DROP ROLE {name}").format(**both))


def _connect() -> psycopg.Connection:
    try:
        return psycopg.connect(host=HOST, port=PORT, user=USER, dbname="postgres", autocommit=True)
    except psycopg.OperationalError:
        message = f"Got no PostgreSQL at {HOST}:{PORT} for user {USER}, but expected one."
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
