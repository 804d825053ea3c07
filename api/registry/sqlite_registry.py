"""Reads the registry from its SQLite file without SQLAlchemy, whose import is half a start."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from api.database.schema_version import check_schema_version
from api.registry.registered_version import (
    RegisteredCatalog,
    RegisteredVersion,
    RegistrySnapshot,
    make_snapshot,
    unknown_alias,
    unknown_model,
    unknown_version,
)

__all__ = ["SqliteRegistry"]

# The tables are defined in `api.registry.tables`, which this module must not import. A test
# compares every answer with `ModelRegistry`, over the tables as SQLModel makes them.
_NAMES: Final = (
    *("model", "version", "manifest_sha256", "model_sha256", "created_at", "created_by"),
    *("reason", "signature", "refused_at", "refused_reason"),
)
_COLUMNS: Final = f"SELECT {', '.join(f'v.{name}' for name in _NAMES)} FROM model_version v"  # noqa: S608 - constants


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
            rows = connection.execute("SELECT version FROM schema_version").fetchall()
        check_schema_version([version for (version,) in rows])

    def list_models(self) -> list[str]:
        """Return the names of all models, sorted."""
        with self._snapshot() as connection:
            return [name for (name,) in connection.execute("SELECT name FROM model ORDER BY name")]

    def list_versions(self, model: str) -> list[RegisteredVersion]:
        """Return all versions of `model`, the newest first; see `RegistryReader`."""
        with self._snapshot() as connection:
            _require_model(connection, model)
            rows = connection.execute(
                f"{_COLUMNS} WHERE v.model = ? ORDER BY v.version DESC", (model,)
            )
            return [_read_version(row) for row in rows]

    def list_aliases(self, model: str) -> dict[str, int]:
        """Return the version of each alias of `model`, sorted by alias; see `RegistryReader`."""
        with self._snapshot() as connection:
            _require_model(connection, model)
            query = "SELECT alias, version FROM model_alias WHERE model = ? ORDER BY alias"
            return dict(connection.execute(query, (model,)).fetchall())

    def get_version(self, model: str, version: int) -> RegisteredVersion:
        """Return one version of `model`; see `RegistryReader`."""
        with self._snapshot() as connection:
            _require_model(connection, model)
            query = f"{_COLUMNS} WHERE v.model = ? AND v.version = ?"
            row = connection.execute(query, (model, version)).fetchone()
        if row is None:
            raise unknown_version(model, version)
        return _read_version(row)

    def resolve_alias(self, model: str, alias: str) -> RegisteredVersion:
        """Return the version of `model` that `alias` points to; see `RegistryReader`."""
        with self._snapshot() as connection:
            _require_model(connection, model)
            query = (
                f"{_COLUMNS} JOIN model_alias a ON a.model = v.model AND a.version = v.version"
                " WHERE a.model = ? AND a.alias = ?"
            )
            row = connection.execute(query, (model, alias)).fetchone()
        if row is None:
            raise unknown_alias(model, alias)
        return _read_version(row)

    def read_generation(self) -> int:
        """Return a number that every change raises; see `RegistryReader`."""
        with self._snapshot() as connection:
            return _read_generation(connection)

    def read_snapshot(self) -> RegistrySnapshot:
        """Return all models in one consistent read; see `RegistryReader`."""
        with self._snapshot() as connection:
            generation = _read_generation(connection)
            names = [name for (name,) in connection.execute("SELECT name FROM model ORDER BY name")]
            aliases: dict[str, dict[str, int]] = {name: {} for name in names}
            for model, alias, version in connection.execute(
                "SELECT model, alias, version FROM model_alias ORDER BY alias"
            ):
                aliases[model][alias] = version
            versions: dict[str, list[RegisteredVersion]] = {name: [] for name in names}
            for row in connection.execute(f"{_COLUMNS} ORDER BY v.version DESC"):
                found = _read_version(row)
                versions[found.model].append(found)
        return make_snapshot(generation, aliases, versions)

    def record_refusal(self, model: str, version: int, reason: str) -> None:
        """Note that a version failed the load gate, and why; see `RegistryReader`."""
        with self._snapshot("BEGIN IMMEDIATE") as connection:
            noted = connection.execute(
                "UPDATE model_version SET refused_at = ?, refused_reason = ?"
                " WHERE model = ? AND version = ? AND refused_at IS NULL",
                (_write_time(datetime.now(UTC)), reason, model, version),
            )
            if noted.rowcount:
                connection.execute("UPDATE registry_generation SET number = number + 1")
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
            RegisteredCatalog(project=project, sha256=sha256, created_at=_read_time(created_at))
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


def _read_generation(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT number FROM registry_generation").fetchone()
    return 0 if row is None else int(row[0])


def _require_model(connection: sqlite3.Connection, model: str) -> None:
    if connection.execute("SELECT 1 FROM model WHERE name = ?", (model,)).fetchone() is None:
        raise unknown_model(model)


def _read_version(row: tuple[Any, ...]) -> RegisteredVersion:
    values = dict(zip(_NAMES, row, strict=True))
    values["created_at"] = _read_time(values["created_at"])
    if values["refused_at"] is not None:
        values["refused_at"] = _read_time(values["refused_at"])
    return RegisteredVersion(**values)


def _read_time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _write_time(moment: datetime) -> str:
    """Return a time in UTC as SQLAlchemy writes it."""
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}"
