"""Reads the registry from its SQLite file without SQLAlchemy."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from zeroskew.contract.rollout import Rollout
from zeroskew.records.database.sqlite_connection import from_sqlite_time, to_sqlite_time
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
from zeroskew.records.registry.sqlite_snapshots import SqliteSnapshots, select_generation

__all__ = ["SqliteRegistry"]

# The tables are defined in `zeroskew.records.registry.tables`, which this module must not import.
# A test compares every answer with `ModelRegistry`, over the tables as the migrations make them.
_TIMES: Final = ("created_at", "deprecated_at", "sunset_at", "refused_at")
_COLUMNS: Final = (
    "model, version, manifest_sha256, model_sha256, created_by, reason, signature,"
    f" parent_version, state, refused_reason, {', '.join(_TIMES)}"
)
_VERSIONS: Final = f"SELECT {_COLUMNS} FROM model_version"  # noqa: S608 - constants


class SqliteRegistry:
    """The registry in a SQLite file, for reading; see `SqliteSnapshots` for the arguments."""

    failures = (sqlite3.Error,)

    def __init__(self, path: Path, *, busy_timeout_sec: float) -> None:
        self._snapshots = SqliteSnapshots(path, busy_timeout_sec=busy_timeout_sec)

    def list_models(self) -> list[str]:
        """Return the names of all models, sorted."""
        with self._snapshots.open() as connection:
            return [name for (name,) in connection.execute("SELECT name FROM model ORDER BY name")]

    def list_versions(self, model: str) -> list[RegisteredVersion]:
        """Return all versions of `model`, the newest first; see `RegistryReader`."""
        with self._snapshots.open() as connection:
            _require_model(connection, model)
            return _list_versions(connection, model)

    def list_aliases(self, model: str) -> dict[str, int]:
        """Return the version of each alias of `model`, sorted by alias; see `RegistryReader`."""
        with self._snapshots.open() as connection:
            _require_model(connection, model)
            return _list_aliases(connection, model)

    def get_version(self, model: str, version: int) -> RegisteredVersion:
        """Return one version of `model`; see `RegistryReader`."""
        with self._snapshots.open() as connection:
            _require_model(connection, model)
            row = connection.execute(
                f"{_VERSIONS} WHERE model = ? AND version = ?", (model, version)
            ).fetchone()
        if row is None:
            raise unknown_version(model, version)
        return _read_version(row)

    def get_alias(self, model: str, alias: str) -> RegisteredAlias:
        """Return where `alias` of `model` points; see `RegistryReader`."""
        with self._snapshots.open() as connection:
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
            updated_at=from_sqlite_time(updated_at),
        )

    def resolve_alias(self, model: str, alias: str) -> RegisteredVersion:
        """Return the version of `model` that `alias` points to; see `RegistryReader`."""
        return self.get_version(model, self.get_alias(model, alias).version)

    def read_generation(self) -> int:
        """Return a number that every change to what is served raises."""
        with self._snapshots.open() as connection:
            return select_generation(connection)

    def read_snapshot(self) -> RegistrySnapshot:
        """Return all models in one consistent read."""
        with self._snapshots.open() as connection:
            names = connection.execute("SELECT name FROM model ORDER BY name").fetchall()
            return RegistrySnapshot(
                generation=select_generation(connection),
                models=tuple(_read_model(connection, name) for (name,) in names),
            )

    def record_refusal(self, model: str, version: int, reason: str) -> None:
        """Note that a version failed the load gate, and why; see `RegistryReader`."""
        now = to_sqlite_time(datetime.now(UTC))
        with self._snapshots.open("BEGIN IMMEDIATE") as connection:
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
        with self._snapshots.open() as connection:
            rows = connection.execute(query).fetchall()
        return [
            RegisteredCatalog(
                project=project, sha256=sha256, created_at=from_sqlite_time(created_at)
            )
            for project, sha256, created_at in rows
        ]

    def close(self) -> None:
        """Do nothing: no connection outlives its call."""


def _require_model(connection: sqlite3.Connection, model: str) -> None:
    if connection.execute("SELECT 1 FROM model WHERE name = ?", (model,)).fetchone() is None:
        raise unknown_model(model)


def _list_versions(connection: sqlite3.Connection, model: str) -> list[RegisteredVersion]:
    rows = connection.execute(f"{_VERSIONS} WHERE model = ? ORDER BY version DESC", (model,))
    return [_read_version(row) for row in rows]


def _list_aliases(connection: sqlite3.Connection, model: str) -> dict[str, int]:
    query = "SELECT alias, version FROM model_alias WHERE model = ? ORDER BY alias"
    return dict(connection.execute(query, (model,)).fetchall())


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
    times = {name: from_sqlite_time(fields[name]) for name in _TIMES}
    return RegisteredVersion(**(fields | times))
