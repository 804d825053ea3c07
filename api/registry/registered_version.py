"""What a reader of the registry is told, whichever way it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from api.contract.rollout import Rollout
from api.errors import (
    UnknownAliasError,
    UnknownModelError,
    UnknownVersionError,
)

__all__ = [
    "RegisteredCatalog",
    "RegisteredModel",
    "RegisteredVersion",
    "RegistryReader",
    "RegistrySnapshot",
    "make_snapshot",
    "unknown_alias",
    "unknown_model",
    "unknown_version",
]


class RegisteredVersion(BaseModel):
    """One immutable version: the sha256 of its manifest and of its model file."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    model: str
    version: int
    manifest_sha256: str
    model_sha256: str
    created_at: datetime
    created_by: str
    reason: str
    signature: str | None = None
    refused_at: datetime | None = None
    refused_reason: str | None = None
    # What moves a version through its states is still to come; until then all are live.
    state: Literal["staged", "live", "retired"] = "live"


class RegisteredModel(BaseModel):
    """One model as the registry has it: where its aliases point, its rollout, its versions."""

    model_config = ConfigDict(frozen=True)

    name: str
    aliases: dict[str, int]
    rollout: Rollout | None
    rollout_revision: int
    versions: tuple[RegisteredVersion, ...]


class RegistrySnapshot(BaseModel):
    """All models at one moment, and the number of changes up to then."""

    model_config = ConfigDict(frozen=True)

    generation: int
    models: tuple[RegisteredModel, ...]


class RegisteredCatalog(BaseModel):
    """The sha256 of a project's feature catalog, and when it was published."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    project: str
    sha256: str
    created_at: datetime


class RegistryReader(Protocol):
    """Finds models, versions and aliases. Its calls block; several threads may make them."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What its calls raise when the database fails."""
        ...

    def list_models(self) -> list[str]:
        """Return the names of all models, sorted."""
        ...

    def list_versions(self, model: str) -> list[RegisteredVersion]:
        """Return all versions of `model`, the newest first.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        """
        ...

    def list_aliases(self, model: str) -> dict[str, int]:
        """Return the version that each alias of `model` points to, sorted by alias.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        """
        ...

    def get_version(self, model: str, version: int) -> RegisteredVersion:
        """Return one version of `model`.

        Raises
        ------
        UnknownModelError, UnknownVersionError
            If there is no such model, or no such version of it.
        """
        ...

    def resolve_alias(self, model: str, alias: str) -> RegisteredVersion:
        """Return the version of `model` that `alias` points to.

        Raises
        ------
        UnknownModelError, UnknownAliasError
            If there is no such model, or no such alias of it.
        """
        ...

    def read_generation(self) -> int:
        """Return a number that every change of the registry raises."""
        ...

    def read_snapshot(self) -> RegistrySnapshot:
        """Return all models in one consistent read."""
        ...

    def record_refusal(self, model: str, version: int, reason: str) -> None:
        """Note that a version failed the load gate, and why; the first reason stays.

        A version that the registry does not have is no fault.
        """
        ...

    def list_feature_catalogs(self) -> list[RegisteredCatalog]:
        """Return the newest feature catalog of each project, sorted by project."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


def make_snapshot(
    generation: int,
    aliases: Mapping[str, dict[str, int]],
    versions: Mapping[str, Sequence[RegisteredVersion]],
) -> RegistrySnapshot:
    """Return a snapshot from the aliases and the versions of each model."""
    return RegistrySnapshot(
        generation=generation,
        models=tuple(
            RegisteredModel(
                name=name,
                aliases=aliases[name],
                rollout=None,
                rollout_revision=0,
                versions=tuple(versions[name]),
            )
            for name in versions
        ),
    )


def unknown_model(model: str) -> UnknownModelError:
    """Return the error for a model that is not registered."""
    return UnknownModelError(f"Got model {model!r}, but no model of that name is registered.")


def unknown_version(model: str, version: int) -> UnknownVersionError:
    """Return the error for a version that the model does not have."""
    return UnknownVersionError(f"Got version {version}, but model {model!r} has no such version.")


def unknown_alias(model: str, alias: str) -> UnknownAliasError:
    """Return the error for an alias that the model does not have."""
    return UnknownAliasError(f"Got alias {alias!r}, but model {model!r} has no such alias.")
