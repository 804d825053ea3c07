"""Databases of the service: SQLite files, and databases of their own on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres_databases import open_database

__all__ = ["DATABASES", "open_database_url"]

DATABASES = ("sqlite", "postgres")


@contextmanager
def open_database_url(kind: str, folder: Path, **options: str) -> Iterator[str]:
    """Provide an empty database, ``sqlite`` or ``postgres``, and yield its SQLAlchemy URL."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'zeroskew.db'}"
        return
    with open_database(**options) as found:
        login = f"{found['user']}:{found['password']}"
        yield f"postgresql://{login}@{found['host']}:{found['port']}/{found['database']}"
