"""The online store in a SQLite file, as Feast's own store and ours write it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from zeroskew.online.store import EmptyCopy, TableSize

if TYPE_CHECKING:
    from zeroskew.online.reader import OnlineFeatureReader
    from zeroskew.online.store import OnlineStore, StoredEntities
    from zeroskew.online.writer import OnlineFeatureWriter

__all__ = ["SqliteFileStore", "find_address", "open_store"]

_SCHEME: Final = "sqlite:///"
_TYPES: Final = (
    "sqlite",
    "feast.infra.online_stores.sqlite.SqliteOnlineStore",
    "zeroskew.features.online_store.newest_sqlite.NewestSqliteOnlineStore",
)
_DEFAULT_PATH: Final = "data/online.db"
_TIMEOUT_SEC: Final = 1.0


def open_store(address: str) -> OnlineStore:
    """Return the store at ``sqlite:///<path>``, see `StoreFolder`."""
    path = address.removeprefix(_SCHEME)
    if path in ("", address):
        raise ValueError(f"Got no path in ZEROSKEW_ONLINE_STORE, but expected {_SCHEME}<path>.")
    return SqliteFileStore(Path(path))


def find_address(section: Mapping[str, Any], repo: Path) -> str | None:
    """Return the address of the file that Feast writes, see `StoreFolder`."""
    if section["type"] not in _TYPES:
        return None
    return f"{_SCHEME}{(repo / str(section.get('path', _DEFAULT_PATH))).resolve()}"


class SqliteFileStore:
    """The store in a file, see `OnlineStore`.

    Parameters
    ----------
    path
        The file. It need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """The file's path, in full."""
        return f"{_SCHEME}{self._path.resolve()}"

    def open_reader(self, *, timeout_sec: float | None) -> OnlineFeatureReader:
        """Return a reader that waits for Feast's commits, for a second if unsaid."""
        from zeroskew.online.sqlite.reader import SqliteFeatureReader

        return SqliteFeatureReader(self._path, timeout_sec=timeout_sec or _TIMEOUT_SEC)

    def open_writer(self, *, timeout_sec: float) -> OnlineFeatureWriter:
        """Return a writer of one transaction a request."""
        from zeroskew.online.sqlite.writer import SqliteFeatureWriter

        return SqliteFeatureWriter(self._path, timeout_sec=timeout_sec)

    def open_entities(self, project: str, tables: Collection[str]) -> StoredEntities:
        """Return what looks through the project's tables, those of removed views too."""
        from zeroskew.online.sqlite.entities import SqliteEntities

        return SqliteEntities(self._path, project, tables)

    def ping(self, *, timeout_sec: float) -> str | None:  # noqa: ARG002 - there is no server
        """Say nothing: the file need not be there yet."""
        return None

    def measure(self) -> Mapping[str, TableSize]:
        """Count what each table of the file holds."""
        from zeroskew.online.sqlite.entities import measure_tables

        return measure_tables(self._path)

    def make_empty_copy(self, folder: Path) -> EmptyCopy:
        """Name a file in the folder; Feast makes its tables."""
        path = (folder / "online.db").resolve()
        path.unlink(missing_ok=True)
        return EmptyCopy(f"{_SCHEME}{path}", {"path": str(path)})
