"""When the registry may be changed: what a move must find, and what it must leave standing."""

from __future__ import annotations

from collections.abc import Iterator

from sqlmodel import Session, select

from zeroskew.contract.errors.service import RegistryConflictError, RevisionConflictError
from zeroskew.contract.rollout import Arm, Rollout, Shadow
from zeroskew.records.registry.tables import ModelAlias, ModelRollout, ModelVersion

__all__ = ["check_match", "require_not_retired", "require_rollout_targets", "require_unused"]


def check_match(what: str, if_match: int | None, found: ModelAlias | ModelRollout | None) -> None:
    """Refuse a move of something that is not as its caller saw it.

    Raises
    ------
    RevisionConflictError
        Unless `if_match` is ``None``, the revision of `found`, or 0 where there is none.
    """
    revision = 0 if found is None else found.revision
    if if_match is not None and if_match != revision:
        is_there = f"is at revision {revision}" if revision else "is not there"
        expected = f"revision {if_match}" if if_match else "none"
        raise RevisionConflictError(
            f"Got a change to {what}, which {is_there}, but expected {expected}."
        )


def require_not_retired(version: ModelVersion) -> None:
    """Refuse a retired version.

    Raises
    ------
    RegistryConflictError
        If `version` is retired.
    """
    if version.state == "retired":
        raise RegistryConflictError(
            f"Got version {version.version} of model {version.model!r}, which is retired, but "
            "expected one that is not; reactivate it first."
        )


def require_rollout_targets(session: Session, model: str, rollout: Rollout) -> list[ModelVersion]:
    """Return the versions that a rollout's arms and shadows point to.

    Raises
    ------
    RegistryConflictError
        If one is not there, or is retired.
    """
    versions = []
    for target in _targets(rollout):
        number = target.version
        if target.alias is not None:
            alias = session.get(ModelAlias, (model, target.alias))
            if alias is None:
                raise RegistryConflictError(
                    f"Got alias {target.alias!r} of {target.name!r}, but model {model!r} has no "
                    "such alias."
                )
            number = alias.version
        found = session.get(ModelVersion, (model, number))
        if found is None:
            raise RegistryConflictError(
                f"Got version {number} of {target.name!r}, but model {model!r} has no such version."
            )
        require_not_retired(found)
        versions.append(found)
    return versions


def require_unused(
    session: Session, model: str, *, version: int | None = None, alias: str | None = None
) -> None:
    """Refuse to take away what something still points to.

    Raises
    ------
    RegistryConflictError
        If an alias points to `version`, or the model's rollout names `version` or `alias`.
    """
    if version is not None:
        pointing = session.exec(
            select(ModelAlias.alias).where(ModelAlias.model == model, ModelAlias.version == version)
        ).all()
        if pointing:
            raise RegistryConflictError(
                f"Got version {version}, to which {', '.join(sorted(pointing))} points, but "
                "expected one without an alias."
            )
    stored = session.get(ModelRollout, model)
    if stored is None:
        return
    for target in _targets(Rollout.model_validate_json(stored.document)):
        if (version is not None and target.version == version) or (
            alias is not None and target.alias == alias
        ):
            raise RegistryConflictError(
                f"Got {f'alias {alias!r}' if alias else f'version {version}'}, which the rollout "
                f"names as {target.name!r}, but expected one that it does not name."
            )


def _targets(rollout: Rollout) -> Iterator[Arm | Shadow]:
    yield from rollout.arms
    yield from rollout.shadows
