"""What the online store has of a subject: every entity whose keys are the subject's."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key
from feast.infra.online_stores.helpers import compute_table_id
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type

from training.privacy.logged_subject import empty_write_ahead_log
from training.privacy.subject import Subject
from zeroskew.contract.errors.project import StepError
from zeroskew.contract.write_order import EVENT_TIMES
from zeroskew.features.online_store.removed_views import list_removed
from zeroskew.records.places.online_address import name_online_store, name_redis

__all__ = ["OnlineSubject", "open_online_subject"]

_SCAN: Final = 1000
_PATIENCE_SEC: Final = 30.0


class OnlineSubject(Protocol):
    """Looks through all entities of a project: no store can be asked for a part of a key."""

    @property
    def name(self) -> str:
        """What the store is called, as services call it."""
        ...

    def find(self, subject: Subject) -> list[dict[str, Any]]:
        """Return the entities that are the subject's, with their values."""
        ...

    def forget(self, subject: Subject) -> int:
        """Erase them, and return how many there were.

        Raises
        ------
        StepError
            If what was deleted cannot be overwritten, because a reader holds the file.
        """
        ...


def open_online_subject(store: Any, tables: Collection[str] = ()) -> OnlineSubject:
    """Return what looks through the online store of a Feast ``FeatureStore``.

    Parameters
    ----------
    store
        Its views say which tables of a SQLite file are the project's: a name does not, for
        ``shop_eu_users`` is the view ``users`` of ``shop_eu`` as well as ``eu_users`` of ``shop``.
    tables
        Further tables of the project, of views that it has no more.

    Raises
    ------
    StepError
        If the store is neither SQLite nor Redis.
    """
    config = store.config.online_store
    if getattr(config, "path", None) is not None:
        path = Path(config.path)
        root = Path(store.repo_path or ".")
        path = path if path.is_absolute() else root / path
        known = {*_list_tables(store), *tables, *_list_kept(path, store.project)}
        return _SqliteSubject(path.resolve(), store.project, known)
    if hasattr(config, "connection_string"):
        return _RedisSubject(store)
    raise StepError(
        f"Got an online store of type {config.type}, but can look through SQLite and Redis; erase "
        "there by the store's own means"
    )


def _list_tables(store: Any) -> list[str]:
    versioning = store.config.registry.enable_online_feature_view_versioning
    views = [*store.list_batch_feature_views(), *store.list_stream_feature_views()]
    return [compute_table_id(store.project, view, versioning) for view in views]


def _list_kept(path: Path, project: str) -> Sequence[str]:
    """Return the tables of removed views that stay while a live plan reads them."""
    if not path.exists():
        return ()
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        return list_removed(database, project)


class _SqliteSubject:
    """Each view's table, and the table of exact event times that our own writers keep beside."""

    def __init__(self, path: Path, project: str, tables: Collection[str]) -> None:
        self._path = path
        self._project = project
        self._tables = frozenset(tables)

    @property
    def name(self) -> str:
        return name_online_store(f"sqlite:///{self._path}")

    def find(self, subject: Subject) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        with self._open() as database:
            return [
                {
                    "view": table.removeprefix(f"{self._project}_"),
                    "keys": keys,
                    "values": {
                        name: _to_python(value)
                        for name, value in database.execute(
                            f'SELECT feature_name, value FROM "{table}" WHERE entity_key = ?',  # noqa: S608 - a table's name
                            (key,),
                        )
                    },
                }
                for table, key, keys in self._list(database, subject)
            ]

    def forget(self, subject: Subject) -> int:
        if not self._path.exists():
            return 0
        with self._open() as database:
            database.execute("PRAGMA secure_delete = ON")
            found = list(self._list(database, subject))
            times = list(self._list_times(database, subject))
            with database:
                for table, key, _ in found:
                    database.execute(f'DELETE FROM "{table}" WHERE entity_key = ?', (key,))  # noqa: S608 - as above
                for table, key in times:
                    database.execute(
                        f"DELETE FROM {EVENT_TIMES} WHERE view_table = ? AND entity_key = ?",  # noqa: S608 - a constant
                        (table, key),
                    )
            empty_write_ahead_log(
                lambda: database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            )
        return len(found)

    def _open(self) -> contextlib.closing[sqlite3.Connection]:
        # Never made anew: a path that is wrong would look like a store without the subject.
        uri = f"{self._path.as_uri()}?mode=rw"
        return contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE_SEC))

    def _list(
        self, database: sqlite3.Connection, subject: Subject
    ) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
        for table in sorted(self._tables & _list_names(database)):
            keys = database.execute(f'SELECT DISTINCT entity_key FROM "{table}"')  # noqa: S608 - as above
            for (key,) in keys.fetchall():
                named = _read_key(bytes(key))
                if named is not None and subject.matches(named):
                    yield table, key, named

    def _list_times(
        self, database: sqlite3.Connection, subject: Subject
    ) -> Iterator[tuple[str, bytes]]:
        if EVENT_TIMES not in _list_names(database):
            return
        rows = database.execute(f"SELECT view_table, entity_key FROM {EVENT_TIMES}")  # noqa: S608 - a constant
        for table, key in rows.fetchall():
            named = _read_key(bytes(key)) if table in self._tables else None
            if named is not None and subject.matches(named):
                yield table, key


class _RedisSubject:
    def __init__(self, store: Any) -> None:
        self._client = store._get_provider().online_store._get_client(store.config.online_store)
        self._suffix = store.project.encode()
        options = store.config.online_store.connection_string.split(",")
        self.name = name_redis([one for one in options if "=" not in one])

    def find(self, subject: Subject) -> list[dict[str, Any]]:
        return [
            {
                "keys": keys,
                # Fields are hashes of view and feature, and say nothing of either.
                "values": [
                    _to_python(value)
                    for name, value in self._client.hgetall(key).items()
                    if not name.startswith(b"_ts:")
                ],
            }
            for key, keys in self._list(subject)
        ]

    def forget(self, subject: Subject) -> int:
        found = [key for key, _ in self._list(subject)]
        for key in found:
            self._client.unlink(key)
        return len(found)

    def _list(self, subject: Subject) -> Iterator[tuple[bytes, dict[str, Any]]]:
        for key in self._client.scan_iter(count=_SCAN, _type="hash"):
            if key.endswith(self._suffix):
                # Another project's name may end in this one's: then what is left is no key.
                named = _read_key(key[: -len(self._suffix)])
                if named is not None and subject.matches(named):
                    yield key, named


def _list_names(database: sqlite3.Connection) -> set[str]:
    found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in found.fetchall()}


def _read_key(content: bytes) -> dict[str, Any] | None:
    """Return the names and values of a serialised entity key, ``None`` where it is none."""
    try:
        key = deserialize_entity_key(content, entity_key_serialization_version=3)
        # Feast's own reading takes what comes behind a key for nothing.
        if serialize_entity_key(key, entity_key_serialization_version=3) != content:
            return None
    except Exception:
        return None
    return {
        name: feast_value_type_to_python_type(value)
        for name, value in zip(key.join_keys, key.entity_values, strict=False)
    }


def _to_python(content: bytes) -> Any:
    value = Value()
    value.ParseFromString(bytes(content))
    return feast_value_type_to_python_type(value)
