"""Where a database is, by its address: the one reading of it for the service and the commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

__all__ = ["BUSY_TIMEOUT_SEC", "locate_database"]

BUSY_TIMEOUT_SEC: Final = 30.0
"""How long a command waits for a lock of SQLite that another process holds."""

_SQLITE: Final = re.compile(r"sqlite:///(?!:memory:)([^?]+)")
_POSTGRESQL: Final = re.compile(r"postgresql(?:\+\w+)?://(.+)")


def locate_database(url: str) -> Path | str:
    """Return the file of a SQLite database, or libpq's address of a PostgreSQL.

    A path is taken as it is, ``%`` and all. Options behind it are refused: they would reach
    SQLAlchemy alone, and half of what writes there does without it.

    >>> locate_database("sqlite:////srv/zeroskew.db").name
    'zeroskew.db'
    >>> locate_database("postgresql+psycopg://ann@db/zeroskew?sslmode=require")
    'postgresql://ann@db/zeroskew?sslmode=require'

    Raises
    ------
    ValueError
        If it is neither; a password is not in the message.
    """
    if file := _SQLITE.fullmatch(url):
        return Path(file[1])
    if server := _POSTGRESQL.fullmatch(url):
        return f"postgresql://{server[1]}"
    scheme = url.partition("@")[0].partition(":")[0]
    raise ValueError(
        f"Got {url if scheme == 'sqlite' else f'{scheme}…'}, but expected sqlite:///<path> without "
        "options or postgresql://<user>@<host>/<database>"
    )
