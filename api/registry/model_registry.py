"""Which models and versions exist, and which version each alias points to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Engine, func, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlmodel import Session, col, select

from api.database.open_database import BUSY_TIMEOUT_SEC, open_database, writing
from api.registry.registered_version import (
    RegisteredCatalog,
    RegisteredVersion,
    RegistrySnapshot,
    make_snapshot,
    unknown_alias,
    unknown_model,
    unknown_version,
)
from api.registry.tables import (
    FeatureCatalogVersion,
    Model,
    ModelAlias,
    ModelVersion,
    RegistryGeneration,
)

__all__ = ["ModelRegistry"]

_ATTEMPTS: Final = 10


class ModelRegistry:
    """Models, versions and aliases over one database.

    A version is immutable and numbered 1, 2, … within its model; an alias moves. Several
    processes may publish at once: each write is one transaction, and a number that was
    taken meanwhile is drawn again.

    Parameters
    ----------
    engine
        From `api.database.open_database.open_database`.
    """

    failures = (SQLAlchemyError,)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = writing(engine)
        # On PostgreSQL every statement would otherwise see a moment of its own.
        is_sqlite = engine.dialect.name == "sqlite"
        self._reading = (
            engine if is_sqlite else engine.execution_options(isolation_level="REPEATABLE READ")
        )

    @classmethod
    def open(cls, url: str, *, busy_timeout_sec: float = BUSY_TIMEOUT_SEC) -> ModelRegistry:
        """Open the registry at `url`, making its tables where there are none.

        Parameters
        ----------
        url
            A SQLAlchemy URL.
        busy_timeout_sec
            How long a call waits for a lock of SQLite that another process holds.

        Raises
        ------
        RegistrySchemaError
            If the tables are of a release that this one does not know.
        """
        return cls(open_database(url, busy_timeout_sec=busy_timeout_sec))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def register(
        self,
        *,
        model: str,
        manifest_sha256: str,
        model_sha256: str,
        created_by: str = "",
        reason: str = "",
        signature: str | None = None,
    ) -> RegisteredVersion:
        """Register a version, or return the one that already has this manifest.

        Parameters
        ----------
        model
            The model's name; made when it is new.
        manifest_sha256, model_sha256
            Addresses of both files in the artefact store, which the caller has put there.
        created_by, reason
            Who published, and why; for the reader of the history.
        signature
            Ed25519 over the manifest's bytes, in hexadecimal digits.

        Returns
        -------
        RegisteredVersion
            With ``version`` one above the model's highest, or the earlier registration
            where `manifest_sha256` is already one of the model's versions.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._register_once(
                    model, manifest_sha256, model_sha256, created_by, reason, signature
                )
            except IntegrityError:
                # Only databases that let two writers run side by side come here.
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def _register_once(
        self,
        model: str,
        manifest_sha256: str,
        model_sha256: str,
        created_by: str,
        reason: str,
        signature: str | None,
    ) -> RegisteredVersion:
        now = datetime.now(UTC)
        with Session(self._writing) as session:
            known = session.exec(
                select(ModelVersion).where(
                    ModelVersion.model == model, ModelVersion.manifest_sha256 == manifest_sha256
                )
            ).one_or_none()
            if known is not None:
                return RegisteredVersion.model_validate(known)
            if session.get(Model, model) is None:
                session.add(Model(name=model, created_at=now))
                session.flush()
            highest = session.exec(
                select(func.max(ModelVersion.version)).where(ModelVersion.model == model)
            ).one()
            added = ModelVersion(
                model=model,
                version=(highest or 0) + 1,
                manifest_sha256=manifest_sha256,
                model_sha256=model_sha256,
                created_at=now,
                created_by=created_by,
                reason=reason,
                signature=signature,
            )
            session.add(added)
            _raise_generation(session)
            session.commit()
            return RegisteredVersion.model_validate(added)

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point `alias` of `model` to `version`.

        Raises
        ------
        UnknownModelError, UnknownVersionError
            If there is no such model, or no such version of it.
        """
        with Session(self._writing) as session:
            _get_version(session, model, version)
            session.merge(
                ModelAlias(model=model, alias=alias, version=version, updated_at=datetime.now(UTC))
            )
            _raise_generation(session)
            session.commit()

    def list_models(self) -> list[str]:
        """Return the names of all models, sorted."""
        with Session(self._engine) as session:
            return list(session.exec(select(Model.name).order_by(col(Model.name))).all())

    def list_versions(self, model: str) -> list[RegisteredVersion]:
        """Return all versions of `model`, the newest first.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        """
        with Session(self._engine) as session:
            _get_model(session, model)
            versions = session.exec(
                select(ModelVersion)
                .where(ModelVersion.model == model)
                .order_by(col(ModelVersion.version).desc())
            ).all()
            return [RegisteredVersion.model_validate(version) for version in versions]

    def list_aliases(self, model: str) -> dict[str, int]:
        """Return the version that each alias of `model` points to, sorted by alias.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        """
        with Session(self._engine) as session:
            _get_model(session, model)
            aliases = session.exec(
                select(ModelAlias).where(ModelAlias.model == model).order_by(col(ModelAlias.alias))
            ).all()
            return {row.alias: row.version for row in aliases}

    def get_version(self, model: str, version: int) -> RegisteredVersion:
        """Return one version of `model`.

        Raises
        ------
        UnknownModelError, UnknownVersionError
            If there is no such model, or no such version of it.
        """
        with Session(self._engine) as session:
            return RegisteredVersion.model_validate(_get_version(session, model, version))

    def resolve_alias(self, model: str, alias: str) -> RegisteredVersion:
        """Return the version of `model` that `alias` points to.

        Raises
        ------
        UnknownModelError, UnknownAliasError
            If there is no such model, or no such alias of it.
        """
        with Session(self._engine) as session:
            _get_model(session, model)
            found = session.get(ModelAlias, (model, alias))
            if found is None:
                raise unknown_alias(model, alias)
            return RegisteredVersion.model_validate(_get_version(session, model, found.version))

    def add_feature_catalog(self, *, project: str, sha256: str) -> None:
        """Make a catalog the newest of its project; one that is the newest already stays.

        Parameters
        ----------
        project
            Feast's project.
        sha256
            The catalog's address in the artefact store, where the caller has put it.
        """
        with Session(self._writing) as session:
            newest = session.exec(
                select(FeatureCatalogVersion)
                .where(FeatureCatalogVersion.project == project)
                .order_by(col(FeatureCatalogVersion.number).desc())
                .limit(1)
            ).one_or_none()
            if newest is None or newest.sha256 != sha256:
                now = datetime.now(UTC)
                session.add(FeatureCatalogVersion(project=project, sha256=sha256, created_at=now))
                session.commit()

    def read_generation(self) -> int:
        """Return a number that every change of the registry raises."""
        with Session(self._engine) as session:
            return _read_generation(session)

    def read_snapshot(self) -> RegistrySnapshot:
        """Return all models in one consistent read."""
        with Session(self._reading) as session:
            generation = _read_generation(session)
            names = session.exec(select(Model.name).order_by(col(Model.name))).all()
            aliases: dict[str, dict[str, int]] = {name: {} for name in names}
            for row in session.exec(select(ModelAlias).order_by(col(ModelAlias.alias))):
                aliases[row.model][row.alias] = row.version
            versions: dict[str, list[RegisteredVersion]] = {name: [] for name in names}
            for found in session.exec(
                select(ModelVersion).order_by(col(ModelVersion.version).desc())
            ):
                versions[found.model].append(RegisteredVersion.model_validate(found))
        return make_snapshot(generation, aliases, versions)

    def record_refusal(self, model: str, version: int, reason: str) -> None:
        """Note that a version failed the load gate, and why; the first reason stays."""
        with Session(self._writing) as session:
            found = session.get(ModelVersion, (model, version))
            if found is not None and found.refused_at is None:
                found.refused_at, found.refused_reason = datetime.now(UTC), reason
                session.add(found)
                _raise_generation(session)
                session.commit()

    def list_feature_catalogs(self) -> list[RegisteredCatalog]:
        """Return the newest feature catalog of each project, sorted by project."""
        newest = select(func.max(FeatureCatalogVersion.number)).group_by(
            FeatureCatalogVersion.project
        )
        with Session(self._engine) as session:
            rows = session.exec(
                select(FeatureCatalogVersion)
                .where(col(FeatureCatalogVersion.number).in_(newest))
                .order_by(FeatureCatalogVersion.project)
            ).all()
            return [RegisteredCatalog.model_validate(row) for row in rows]


def _read_generation(session: Session) -> int:
    found = session.get(RegistryGeneration, 1)
    return 0 if found is None else found.number


def _raise_generation(session: Session) -> None:
    raised = update(RegistryGeneration).values(number=col(RegistryGeneration.number) + 1)
    if session.execute(raised).rowcount == 0:  # type: ignore[attr-defined]  # of a CursorResult
        session.add(RegistryGeneration(id=1, number=1))


def _get_model(session: Session, model: str) -> Model:
    found = session.get(Model, model)
    if found is None:
        raise unknown_model(model)
    return found


def _get_version(session: Session, model: str, version: int) -> ModelVersion:
    _get_model(session, model)
    found = session.get(ModelVersion, (model, version))
    if found is None:
        raise unknown_version(model, version)
    return found
