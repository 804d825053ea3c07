"""Reads the registry through SQLAlchemy, from whatever database it is in."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from zeroskew.contract.rollout import Rollout
from zeroskew.records.registry.registered_version import (
    RegisteredAlias,
    RegisteredCatalog,
    RegisteredChange,
    RegisteredModel,
    RegisteredRollout,
    RegisteredVersion,
    RegistrySnapshot,
    unknown_alias,
    unknown_model,
    unknown_rollout,
    unknown_version,
)
from zeroskew.records.registry.registry_database import DATABASE_FAILURES, RegistryDatabase
from zeroskew.records.registry.tables import (
    FeatureCatalogVersion,
    Model,
    ModelAlias,
    ModelRollout,
    ModelVersion,
    RegistryChange,
    RegistryGeneration,
)

__all__ = ["StoredRegistry", "get_model", "get_version"]


class StoredRegistry:
    """Models, versions, aliases, rollouts and their history, for reading.

    Parameters
    ----------
    database
        Where they are.
    """

    failures = DATABASE_FAILURES

    def __init__(self, database: RegistryDatabase) -> None:
        self._database = database
        self.close = database.close
        self.read_generation = database.read_generation

    def list_models(self) -> list[str]:
        """Return the names of all models, sorted."""
        with self._database.read() as session:
            return list(session.exec(select(Model.name).order_by(col(Model.name))).all())

    def list_versions(self, model: str) -> list[RegisteredVersion]:
        """Return all versions of `model`, the newest first; see `RegistryReader`."""
        with self._database.read() as session:
            get_model(session, model)
            versions = session.exec(
                select(ModelVersion)
                .where(ModelVersion.model == model)
                .order_by(col(ModelVersion.version).desc())
            ).all()
            return [RegisteredVersion.model_validate(version) for version in versions]

    def list_aliases(self, model: str) -> dict[str, int]:
        """Return the version of each alias of `model`, sorted by alias; see `RegistryReader`."""
        with self._database.read() as session:
            get_model(session, model)
            aliases = session.exec(
                select(ModelAlias).where(ModelAlias.model == model).order_by(col(ModelAlias.alias))
            ).all()
            return {row.alias: row.version for row in aliases}

    def get_version(self, model: str, version: int) -> RegisteredVersion:
        """Return one version of `model`; see `RegistryReader`."""
        with self._database.read() as session:
            return RegisteredVersion.model_validate(get_version(session, model, version))

    def resolve_alias(self, model: str, alias: str) -> RegisteredVersion:
        """Return the version of `model` that `alias` points to; see `RegistryReader`."""
        with self._database.read() as session:
            get_model(session, model)
            found = session.get(ModelAlias, (model, alias))
            if found is None:
                raise unknown_alias(model, alias)
            return RegisteredVersion.model_validate(get_version(session, model, found.version))

    def get_alias(self, model: str, alias: str) -> RegisteredAlias:
        """Return where `alias` of `model` points; see `RegistryReader`."""
        with self._database.read() as session:
            get_model(session, model)
            found = session.get(ModelAlias, (model, alias))
            if found is None:
                raise unknown_alias(model, alias)
            return RegisteredAlias.model_validate(found)

    def get_rollout(self, model: str) -> RegisteredRollout:
        """Return the rollout of `model`.

        Raises
        ------
        UnknownModelError, UnknownRolloutError
            If there is no such model, or it has no rollout.
        """
        with self._database.read() as session:
            get_model(session, model)
            found = session.get(ModelRollout, model)
            if found is None:
                raise unknown_rollout(model)
            return _read_rollout(found)

    def list_changes(
        self, model: str, *, limit: int = 100, before: int | None = None
    ) -> list[RegisteredChange]:
        """Return the changes of `model`, the newest first.

        Parameters
        ----------
        model
            Its name.
        limit
            How many at most.
        before
            Only changes with a lower number, to go on from where the last call ended.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        """
        chosen = select(RegistryChange).where(RegistryChange.model == model)
        if before is not None:
            chosen = chosen.where(col(RegistryChange.number) < before)
        with self._database.read() as session:
            get_model(session, model)
            rows = session.exec(chosen.order_by(col(RegistryChange.number).desc()).limit(limit))
            return [_read_change(row) for row in rows]

    def read_snapshot(self) -> RegistrySnapshot:
        """Return all models in one consistent read."""
        with self._database.read_at_once() as session:
            generation = session.exec(select(RegistryGeneration.value)).one()
            names = session.exec(select(Model.name).order_by(col(Model.name))).all()
            return RegistrySnapshot(
                generation=generation, models=tuple(_read_model(session, name) for name in names)
            )

    def list_feature_catalogs(self) -> list[RegisteredCatalog]:
        """Return the newest feature catalog of each project, sorted by project."""
        newest = select(func.max(FeatureCatalogVersion.number)).group_by(
            FeatureCatalogVersion.project
        )
        with self._database.read() as session:
            rows = session.exec(
                select(FeatureCatalogVersion)
                .where(col(FeatureCatalogVersion.number).in_(newest))
                .order_by(FeatureCatalogVersion.project)
            ).all()
            return [RegisteredCatalog.model_validate(row) for row in rows]


def get_model(session: Session, model: str) -> Model:
    """Return a model's row, or raise `UnknownModelError`."""
    found = session.get(Model, model)
    if found is None:
        raise unknown_model(model)
    return found


def get_version(session: Session, model: str, version: int) -> ModelVersion:
    """Return a version's row, or raise `UnknownModelError` or `UnknownVersionError`."""
    get_model(session, model)
    found = session.get(ModelVersion, (model, version))
    if found is None:
        raise unknown_version(model, version)
    return found


def _read_model(session: Session, name: str) -> RegisteredModel:
    aliases = session.exec(
        select(ModelAlias).where(ModelAlias.model == name).order_by(col(ModelAlias.alias))
    )
    versions = session.exec(
        select(ModelVersion)
        .where(ModelVersion.model == name)
        .order_by(col(ModelVersion.version).desc())
    )
    rollout = session.get(ModelRollout, name)
    return RegisteredModel(
        name=name,
        aliases={row.alias: row.version for row in aliases},
        rollout=None if rollout is None else Rollout.model_validate_json(rollout.document),
        rollout_revision=0 if rollout is None else rollout.revision,
        versions=tuple(RegisteredVersion.model_validate(row) for row in versions),
    )


def _read_rollout(row: ModelRollout) -> RegisteredRollout:
    return RegisteredRollout(
        model=row.model,
        rollout=Rollout.model_validate_json(row.document),
        revision=row.revision,
        updated_at=row.updated_at,
    )


def _read_change(row: RegistryChange) -> RegisteredChange:
    assert row.number is not None
    return RegisteredChange(
        number=row.number,
        time=row.time,
        actor=row.actor,
        reason=row.reason,
        model=row.model,
        action=row.action,
        subject=row.subject,
        before=_read_json(row.before),
        after=_read_json(row.after),
    )


def _read_json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
