"""What the online store has of a subject: every entity whose keys are the subject's."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from feast.infra.key_encoding_utils import deserialize_entity_key
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type

from training.errors import StepError
from training.privacy.subject import Subject

__all__ = ["OnlineSubject", "open_online_subject"]

_SCAN: Final = 1000


class OnlineSubject(Protocol):
    """Looks through all entities of a project: no store can be asked for a part of a key."""

    def find(self, subject: Subject) -> list[dict[str, Any]]:
        """Return the entities that are the subject's, with their values."""
        ...

    def forget(self, subject: Subject) -> int:
        """Erase them, and return how many there were."""
        ...


def open_online_subject(store: Any) -> OnlineSubject:
    """Return what looks through the online store of a Feast ``FeatureStore``.

    Raises
    ------
    StepError
        If the store is neither SQLite nor Redis.
    """
    config = store.config.online_store
    if getattr(config, "path", None) is not None:
        path = Path(config.path)
        root = Path(store.repo_path or ".")
        return _SqliteSubject(path if path.is_absolute() else root / path, store.project)
    if hasattr(config, "connection_string"):
        return _RedisSubject(store)
    raise StepError(
        f"Got an online store of type {config.type}, but can look through SQLite and Redis; erase "
        "there by the store's own means"
    )


class _SqliteSubject:
    def __init__(self, path: Path, project: str) -> None:
        self._path = path
        self._project = project

    def find(self, subject: Subject) -> list[dict[str, Any]]:
        with contextlib.closing(sqlite3.connect(self._path)) as database:
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
        with contextlib.closing(sqlite3.connect(self._path, timeout=30)) as database:
            database.execute("PRAGMA secure_delete = ON")
            found = list(self._list(database, subject))
            with database:
                for table, key, _ in found:
                    database.execute(f'DELETE FROM "{table}" WHERE entity_key = ?', (key,))  # noqa: S608 - as above
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return len(found)

    def _list(
        self, database: sqlite3.Connection, subject: Subject
    ) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in names:
            if table.startswith(f"{self._project}_"):
                keys = database.execute(f'SELECT DISTINCT entity_key FROM "{table}"')  # noqa: S608 - as above
                for (key,) in keys.fetchall():
                    named = _read_key(bytes(key))
                    if named is not None and subject.matches(named):
                        yield table, key, named


class _RedisSubject:
    def __init__(self, store: Any) -> None:
        self._client = store._get_provider().online_store._get_client(store.config.online_store)
        self._suffix = store.project.encode()

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
                named = _read_key(key[: -len(self._suffix)])
                if named is not None and subject.matches(named):
                    yield key, named


def _read_key(content: bytes) -> dict[str, Any] | None:
    """Return the names and values of a serialised entity key, ``None`` where it is none."""
    try:
        key = deserialize_entity_key(content, entity_key_serialization_version=3)
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
