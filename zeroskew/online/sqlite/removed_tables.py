"""Notes in a SQLite online store: tables of views that Feast's registry has no more, and that stay.

`zeroskew.features.online_store.removed_views` says why.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

__all__ = ["REMOVED_TABLE", "forget_removed", "list_removed", "note_removed"]

REMOVED_TABLE: Final = "zeroskew_removed_views"
_CREATE: Final = f"""
CREATE TABLE IF NOT EXISTS {REMOVED_TABLE} (
    project TEXT, view_table TEXT, PRIMARY KEY (project, view_table)
) WITHOUT ROWID
"""


def note_removed(connection: sqlite3.Connection, project: str, tables: Iterable[str]) -> None:
    """Note that tables of a project stay online without their view."""
    connection.execute(_CREATE)
    connection.executemany(
        f"INSERT OR IGNORE INTO {REMOVED_TABLE} VALUES (?, ?)",  # noqa: S608 - a constant
        [(project, table) for table in tables],
    )


def forget_removed(connection: sqlite3.Connection, project: str, tables: Iterable[str]) -> None:
    """Take tables off the list: they are dropped, or have a view again."""
    connection.execute(_CREATE)
    connection.executemany(
        f"DELETE FROM {REMOVED_TABLE} WHERE project = ? AND view_table = ?",  # noqa: S608 - a constant
        [(project, table) for table in tables],
    )


def list_removed(connection: sqlite3.Connection, project: str) -> Sequence[str]:
    """Return the tables of a project that stay online without their view, sorted."""
    connection.execute(_CREATE)
    rows: list[tuple[Any]] = connection.execute(
        f"SELECT view_table FROM {REMOVED_TABLE} WHERE project = ? ORDER BY view_table",  # noqa: S608 - a constant
        (project,),
    ).fetchall()
    return [table for (table,) in rows]
