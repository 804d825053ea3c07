"""Views that Feast took out of its registry, whose rows stay online while a live plan reads them.

Feast's own stores drop a view's rows with the view, while the model that serves was published with
a plan that reads them. Here `feast apply` drops nothing: it notes what was removed, in the online
store itself, and `zeroskew apply` drops what is noted once no live plan needs it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from feast import RepoConfig

from zeroskew.contract.manifest import ViewPlan

__all__ = ["REMOVED_TABLE", "KeepsRemovedViews", "forget_removed", "list_removed", "note_removed"]

REMOVED_TABLE: Final = "zeroskew_removed_views"
_CREATE: Final = f"""
CREATE TABLE IF NOT EXISTS {REMOVED_TABLE} (
    project TEXT, view_table TEXT, PRIMARY KEY (project, view_table)
) WITHOUT ROWID
"""


@runtime_checkable
class KeepsRemovedViews(Protocol):
    """An online store that keeps the rows of a removed view until it is told to drop them."""

    def drop_removed_views(self, config: RepoConfig, needed: Collection[ViewPlan]) -> list[str]:
        """Drop the rows of removed views, but not of those that are needed.

        Parameters
        ----------
        config
            Feast's configuration of the project.
        needed
            The views that live plans read.

        Returns
        -------
        dropped
            What was dropped: names of tables, or of views.
        """
        ...


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
