"""Reads the registry from its SQLite file without SQLAlchemy, whose import is half a start."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from zeroskew.contract.rollout import Rollout
from zeroskew.records.database.head_revision import check_revision
from zeroskew.records.registry.registered_version import (
    RegisteredAlias,
    RegisteredCatalog,
    RegisteredModel,
    RegisteredVersion,
    RegistrySnapshot,
    unknown_alias,
    unknown_model,
    unknown_version,
)

__all__ = ["SqliteRegistry", "read_time", "write_time"]

# The tables are defined in `zeroskew.records.registry.tables`, which this module must not import.
# A test compares every answer with `ModelRegistry`, over the tables as the migrations make them.
_TIMES: Final = ("created_at", "deprecated_at", "sunset_at", "refused_at")
_COLUMNS: Final = (
    "model, version, manifest_sha256, model_sha256, created_by, reason, signature,"
    f" parent_version, state, refused_reason, {', '.join(_TIMES)}"
)
_VERSIONS: Final = f"SELECT {_COLUMNS} FROM model_version"  # noqa: S608 - constants


class SqliteRegistry:
    """The registry in a SQLite file, for reading: a fresh connection and one snapshot a call.

    Parameters
    ----------
    path
        The file, with its tables.
    busy_timeout_sec
        How long a call waits for a publisher's lock.

    Raises
    ------
    RegistrySchemaError
        If the tables are of a release that this one does not know.
    sqlite3.Error
        If the file or its tables are missing, or cannot be read.
    """

    failures = (sqlite3.Error,)

    def __init__(self, path: Path, *, busy_timeout_sec: float) -> None:
        # Never makes the file: a registry that went away must not come back empty.
        self._uri = f"{path.absolute().as_uri()}?mode=rw"
        self._busy_timeout_sec = busy_timeout_sec
        with self._snapshot() as connection:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        check_revision([revision for (revision,) in rows])

    def list_models(self) -> list[str]:
        """Return the names of all models, sorted."""
        with self._snapshot() as connection:
            return [name for (name,) in connection.execute("SELECT name FROM model ORDER BY name")]

    def list_versions(self, model: str) -> list[RegisteredVersion]:
        """Return all versions of `model`, the newest first; see `RegistryReader`."""
        with self._snapshot() as connection:
            _require_model(connection, model)
            return _list_versions(connection, model)

    def list_aliases(self, model: str) -> dict[str, int]:
        """Return the version of each alias of `model`, sorted by alias; see `RegistryReader`."""
        with self._snapshot() as connection:
            _require_model(connection, model)
            return _list_aliases(connection, model)

    def get_version(self, model: str, version: int) -> RegisteredVersion:
        """Return one version of `model`; see `RegistryReader`."""
        with self._snapshot() as connection:
            _require_model(connection, model)
            row = connection.execute(
                f"{_VERSIONS} WHERE model = ? AND version = ?", (model, version)
            ).fetchone()
        if row is None:
            raise unknown_version(model, version)
        return _read_version(row)

    def get_alias(self, model: str, alias: str) -> RegisteredAlias:
        """Return where `alias` of `model` points; see `RegistryReader`."""
        with self._snapshot() as connection:
            _require_model(connection, model)
            row = connection.execute(
                "SELECT version, revision, updated_at FROM model_alias"
                " WHERE model = ? AND alias = ?",
                (model, alias),
            ).fetchone()
        if row is None:
            raise unknown_alias(model, alias)
        version, revision, updated_at = row
        return RegisteredAlias(
            model=model,
            alias=alias,
            version=version,
            revision=revision,
            updated_at=read_time(updated_at),
        )

    def resolve_alias(self, model: str, alias: str) -> RegisteredVersion:
        """Return the version of `model` that `alias` points to; see `RegistryReader`."""
        return self.get_version(model, self.get_alias(model, alias).version)

    def read_generation(self) -> int:
        """Return a number that every change to what is served raises."""
        with self._snapshot() as connection:
            return _read_generation(connection)

    def read_snapshot(self) -> RegistrySnapshot:
        """Return all models in one consistent read."""
        with self._snapshot() as connection:
            names = connection.execute("SELECT name FROM model ORDER BY name").fetchall()
            return RegistrySnapshot(
                generation=_read_generation(connection),
                models=tuple(_read_model(connection, name) for (name,) in names),
            )

    def record_refusal(self, model: str, version: int, reason: str) -> None:
        """Note that a version failed the load gate, and why; see `RegistryReader`."""
        now = write_time(datetime.now(UTC))
        with self._snapshot("BEGIN IMMEDIATE") as connection:
            row = connection.execute(
                "SELECT refused_reason FROM model_version WHERE model = ? AND version = ?",
                (model, version),
            ).fetchone()
            if row is None or row[0] == reason:
                return
            connection.execute(
                "UPDATE model_version SET refused_at = ?, refused_reason = ?"
                " WHERE model = ? AND version = ?",
                (now, reason, model, version),
            )
            connection.execute(
                "INSERT INTO registry_change"
                " (time, actor, reason, model, action, subject, before)"
                " VALUES (?, 'service', ?, ?, 'refuse', ?, ?)",
                (now, reason, model, str(version), json.dumps({"refused_reason": row[0]})),
            )
            connection.execute("COMMIT")

    def list_feature_catalogs(self) -> list[RegisteredCatalog]:
        """Return the newest feature catalog of each project; see `RegistryReader`."""
        query = (
            "SELECT project, sha256, created_at FROM feature_catalog WHERE number IN"
            " (SELECT max(number) FROM feature_catalog GROUP BY project) ORDER BY project"
        )
        with self._snapshot() as connection:
            rows = connection.execute(query).fetchall()
        return [
            RegisteredCatalog(project=project, sha256=sha256, created_at=read_time(created_at))
            for project, sha256, created_at in rows
        ]

    def close(self) -> None:
        """Do nothing: no connection outlives its call."""

    @contextmanager
    def _snapshot(self, begin: str = "BEGIN") -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(
            self._uri, uri=True, timeout=self._busy_timeout_sec, isolation_level=None
        )
        with closing(connection):
            connection.execute(begin)
            yield connection


def _require_model(connection: sqlite3.Connection, model: str) -> None:
    if connection.execute("SELECT 1 FROM model WHERE name = ?", (model,)).fetchone() is None:
        raise unknown_model(model)


def _list_versions(connection: sqlite3.Connection, model: str) -> list[RegisteredVersion]:
    rows = connection.execute(f"{_VERSIONS} WHERE model = ? ORDER BY version DESC", (model,))
    return [_read_version(row) for row in rows]


def _list_aliases(connection: sqlite3.Connection, model: str) -> dict[str, int]:
    query = "SELECT alias, version FROM model_alias WHERE model = ? ORDER BY alias"
    return dict(connection.execute(query, (model,)).fetchall())


def _read_generation(connection: sqlite3.Connection) -> int:
    (generation,) = connection.execute("SELECT value FROM registry_generation").fetchone()
    return int(generation)


def _read_model(connection: sqlite3.Connection, name: str) -> RegisteredModel:
    stored = connection.execute(
        "SELECT document, revision FROM model_rollout WHERE model = ?", (name,)
    ).fetchone()
    document, revision = stored or (None, 0)
    return RegisteredModel(
        name=name,
        aliases=_list_aliases(connection, name),
        rollout=None if document is None else Rollout.model_validate_json(document),
        rollout_revision=revision,
        versions=tuple(_list_versions(connection, name)),
    )


def _read_version(row: tuple[Any, ...]) -> RegisteredVersion:
    fields = dict(zip(_COLUMNS.split(", "), row, strict=True))
    times = {name: read_time(fields[name]) for name in _TIMES if fields[name] is not None}
    return RegisteredVersion(**(fields | times))


def read_time(text: str) -> datetime:
    """Return a stored time, which is in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def write_time(moment: datetime) -> str:
    """Return how a time is stored."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
