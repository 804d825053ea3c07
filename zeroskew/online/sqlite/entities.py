"""All entities of a project in a SQLite online store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from zeroskew.contract.errors.service import OnlineStoreUnavailableError
from zeroskew.online.reader import StoredView
from zeroskew.online.sqlite.event_times import EVENT_TIMES
from zeroskew.online.sqlite.names import quote
from zeroskew.online.sqlite.removed_tables import list_removed
from zeroskew.online.store import StoredEntity, TableSize
from zeroskew.records.database.write_ahead_log import empty_write_ahead_log

__all__ = ["SqliteEntities", "measure_tables"]

_PATIENCE_SEC: Final = 30.0


class SqliteEntities:
    """Each view's table, and the table of exact event times beside them, see `StoredEntities`.

    Parameters
    ----------
    path
        The file. One that is not there has nothing, and is not made.
    project
        Feast's project.
    tables
        Its tables; those of removed views that stay are added.
    """

    def __init__(self, path: Path, project: str, tables: Collection[str]) -> None:
        self._path = path
        self._project = project
        self._tables = frozenset(tables)

    def list_keys(self, view: StoredView, key_prefix: bytes) -> Iterator[bytes]:  # noqa: ARG002 - all are
        """Yield the keys of a view's table."""
        if not self._path.exists():
            return
        with _open(self._path) as database:
            if view.table in _list_names(database):
                yield from _list_keys(database, view.table)

    def find(self, is_meant: Callable[[bytes], bool]) -> list[StoredEntity]:
        """Return the meant entities of each table."""
        if not self._path.exists():
            return []
        with _open(self._path) as database:
            return [
                StoredEntity(
                    key=key,
                    values=dict(
                        database.execute(
                            f"SELECT feature_name, value FROM {quote(table)} WHERE entity_key = ?",  # noqa: S608 - quoted
                            (key,),
                        ).fetchall()
                    ),
                    view=table.removeprefix(f"{self._project}_"),
                )
                for table, key in self._list_meant(database, is_meant)
            ]

    def erase(self, is_meant: Callable[[bytes], bool]) -> int:
        """Erase them, and overwrite what was there."""
        if not self._path.exists():
            return 0
        with _open(self._path) as database:
            database.execute("PRAGMA secure_delete = ON")
            found = list(self._list_meant(database, is_meant))
            times = list(self._list_times(database, is_meant))
            with database:
                for table, key in found:
                    database.execute(f"DELETE FROM {quote(table)} WHERE entity_key = ?", (key,))  # noqa: S608 - quoted
                for table, key in times:
                    database.execute(
                        f"DELETE FROM {EVENT_TIMES} WHERE view_table = ? AND entity_key = ?",  # noqa: S608 - a constant
                        (table, key),
                    )
            empty_write_ahead_log(
                lambda: database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            )
        return len(found)

    def _list_meant(
        self, database: sqlite3.Connection, is_meant: Callable[[bytes], bool]
    ) -> Iterator[tuple[str, bytes]]:
        for table in sorted(self._list_tables(database) & _list_names(database)):
            for key in _list_keys(database, table):
                if is_meant(key):
                    yield table, key

    def _list_times(
        self, database: sqlite3.Connection, is_meant: Callable[[bytes], bool]
    ) -> Iterator[tuple[str, bytes]]:
        if EVENT_TIMES not in _list_names(database):
            return
        tables = self._list_tables(database)
        rows = database.execute(f"SELECT view_table, entity_key FROM {EVENT_TIMES}")  # noqa: S608 - a constant
        for table, key in rows.fetchall():
            if table in tables and is_meant(key):
                yield table, key

    def _list_tables(self, database: sqlite3.Connection) -> frozenset[str]:
        with database:
            return self._tables | frozenset(list_removed(database, self._project))


def measure_tables(path: Path) -> dict[str, TableSize]:
    """Return how much each view's table holds, nothing of a file that is damaged or not there."""
    if not path.exists():
        return {}
    try:
        with _open(path) as database:
            found = {table: _measure(database, table) for table in sorted(_list_names(database))}
            return {table: size for table, size in found.items() if size is not None}
    except OnlineStoreUnavailableError:
        return {}


def _measure(database: sqlite3.Connection, table: str) -> TableSize | None:
    """Return how much a table holds; ``None`` if it is none of a view."""
    columns = {row[1] for row in database.execute(f"PRAGMA table_info({quote(table)})")}
    if not {"entity_key", "feature_name"} <= columns:
        return None
    query = f"SELECT count(DISTINCT entity_key), count(*) FROM {quote(table)}"  # noqa: S608 - quoted
    return TableSize(*database.execute(query).fetchone())


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    # Never made anew: a path that is wrong would look like a store without the entity.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE_SEC)) as database:
            yield database
    except sqlite3.Error as error:
        raise OnlineStoreUnavailableError(
            f"The online store {path} cannot be looked through: {error}."
        ) from error


def _list_names(database: sqlite3.Connection) -> set[str]:
    found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in found.fetchall()}


def _list_keys(database: sqlite3.Connection, table: str) -> Iterator[bytes]:
    query = f"SELECT DISTINCT entity_key FROM {quote(table)}"  # noqa: S608 - quoted
    return (bytes(key) for (key,) in database.execute(query))
