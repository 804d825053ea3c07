"""Publishes versions and changes how they stand."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from zeroskew.contract.database_url import BUSY_TIMEOUT_SEC
from zeroskew.contract.errors.service import RegistryConflictError
from zeroskew.contract.rollout import CHAMPION
from zeroskew.records.database.open_database import open_database
from zeroskew.records.registry.change_rules import require_not_retired, require_unused
from zeroskew.records.registry.moving_registry import MovingRegistry, note_change
from zeroskew.records.registry.registered_version import RegisteredVersion
from zeroskew.records.registry.registry_database import RegistryDatabase
from zeroskew.records.registry.stored_registry import get_version
from zeroskew.records.registry.tables import FeatureCatalogVersion, Model, ModelAlias, ModelVersion

__all__ = ["ModelRegistry"]


class ModelRegistry(MovingRegistry):
    """The registry over one database, for reading and writing.

    A version's files are immutable, and it is numbered 1, 2, … within its model; its state
    changes, and aliases and rollouts move.

    Parameters
    ----------
    database
        Where it is.
    """

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
        return cls(RegistryDatabase(open_database(url, busy_timeout_sec=busy_timeout_sec)))

    def register(
        self,
        *,
        model: str,
        manifest_sha256: str,
        model_sha256: str,
        created_by: str = "",
        reason: str = "",
        signature: str | None = None,
        parent_version: int | None = None,
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
        parent_version
            The version that this one is to follow; the champion, if not said.

        Returns
        -------
        RegisteredVersion
            With ``version`` one above the model's highest, or the earlier registration
            where `manifest_sha256` is already one of the model's versions.
        """
        with self._database.change() as (session, _):
            known = _find_version(session, model, manifest_sha256)
            if known is not None:
                session.rollback()
                return self.get_version(model, known.version)
            now = datetime.now(UTC)
            _require_row(session, model, now)
            champion = session.get(ModelAlias, (model, CHAMPION))
            if parent_version is None and champion is not None:
                parent_version = champion.version
            added = ModelVersion(
                model=model,
                version=_find_highest(session, model) + 1,
                manifest_sha256=manifest_sha256,
                model_sha256=model_sha256,
                signature=signature,
                parent_version=parent_version,
                created_at=now,
                created_by=created_by,
                reason=reason,
            )
            session.add(added)
            after = {"manifest_sha256": manifest_sha256, "parent_version": parent_version}
            note_change(
                session, model, "register", str(added.version), created_by, reason, None, after
            )
            session.commit()
            return RegisteredVersion.model_validate(added)

    def retire(
        self, model: str, version: int, *, actor: str = "", reason: str = ""
    ) -> RegisteredVersion:
        """Let a version answer no more.

        Raises
        ------
        UnknownModelError, UnknownVersionError
            If there is no such model, or no such version of it.
        RegistryConflictError
            If an alias or the rollout points to it.
        """
        with self._database.change() as (session, _):
            found = get_version(session, model, version)
            require_unused(session, model, version=version)
            return _set_state(session, found, "retire", "retired", actor, reason)

    def reactivate(
        self, model: str, version: int, *, actor: str = "", reason: str = ""
    ) -> RegisteredVersion:
        """Let a retired version answer again, and forget that it was refused or deprecated.

        Raises
        ------
        UnknownModelError, UnknownVersionError
            If there is no such model, or no such version of it.
        """
        with self._database.change() as (session, _):
            found = get_version(session, model, version)
            found.refused_at = found.refused_reason = None
            found.deprecated_at = found.sunset_at = None
            state = "staged" if found.state == "retired" else found.state
            return _set_state(session, found, "reactivate", state, actor, reason)

    def deprecate(
        self,
        model: str,
        version: int,
        *,
        sunset_at: datetime | None = None,
        actor: str = "",
        reason: str = "",
    ) -> RegisteredVersion:
        """Tell the callers of a version that it is on its way out; it goes on answering.

        Parameters
        ----------
        model, version
            Which.
        sunset_at
            When it is to be retired, if that is known.
        actor, reason
            Who, and why.

        Raises
        ------
        UnknownModelError, UnknownVersionError
            If there is no such model, or no such version of it.
        RegistryConflictError
            If it is retired, or `sunset_at` is not in the future.
        """
        now = datetime.now(UTC)
        if sunset_at is not None and sunset_at <= now:
            raise RegistryConflictError(
                f"Got sunset {sunset_at.isoformat()}, but expected a moment in the future."
            )
        with self._database.change() as (session, _):
            found = get_version(session, model, version)
            require_not_retired(found)
            before = {"sunset_at": found.sunset_at and found.sunset_at.isoformat()}
            found.deprecated_at = found.deprecated_at or now
            found.sunset_at = sunset_at
            after = {"sunset_at": sunset_at and sunset_at.isoformat()}
            note_change(session, model, "deprecate", str(version), actor, reason, before, after)
            session.commit()
            return RegisteredVersion.model_validate(found)

    def record_refusal(self, model: str, version: int, reason: str) -> None:
        """Note that a version failed the load gate, and why; again the same changes nothing."""
        # What is served does not change, so the generation stays.
        with self._database.write() as session:
            found = session.get(ModelVersion, (model, version))
            if found is None or found.refused_reason == reason:
                return
            before = {"refused_reason": found.refused_reason}
            found.refused_at, found.refused_reason = datetime.now(UTC), reason
            note_change(session, model, "refuse", str(version), "service", reason, before, None)
            session.commit()

    def add_feature_catalog(self, *, project: str, sha256: str) -> None:
        """Make a catalog the newest of its project; one that is the newest already stays.

        Parameters
        ----------
        project
            Feast's project.
        sha256
            The catalog's address in the artefact store, where the caller has put it.
        """
        with self._database.write() as session:
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


def _find_version(session: Session, model: str, manifest_sha256: str) -> ModelVersion | None:
    """Return the version of a model that has a manifest."""
    return session.exec(
        select(ModelVersion).where(
            ModelVersion.model == model, ModelVersion.manifest_sha256 == manifest_sha256
        )
    ).one_or_none()


def _require_row(session: Session, model: str, now: datetime) -> None:
    """Make a model that is new."""
    if session.get(Model, model) is None:
        session.add(Model(name=model, created_at=now))
        session.flush()


def _find_highest(session: Session, model: str) -> int:
    """Return the number of a model's last version, 0 where it has none."""
    highest = select(func.max(ModelVersion.version)).where(ModelVersion.model == model)
    return session.exec(highest).one() or 0


def _set_state(
    session: Session, found: ModelVersion, action: str, state: str, actor: str, reason: str
) -> RegisteredVersion:
    before, after = {"state": found.state}, {"state": state}
    found.state = state
    note_change(session, found.model, action, str(found.version), actor, reason, before, after)
    session.commit()
    return RegisteredVersion.model_validate(found)
