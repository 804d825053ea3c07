"""What a reader of the registry is told, whichever way it is read."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from zeroskew.contract.errors.not_found import (
    UnknownAliasError,
    UnknownModelError,
    UnknownRolloutError,
    UnknownVersionError,
)
from zeroskew.contract.rollout import Rollout

__all__ = [
    "RegisteredAlias",
    "RegisteredCatalog",
    "RegisteredChange",
    "RegisteredModel",
    "RegisteredRollout",
    "RegisteredVersion",
    "RegistryReader",
    "RegistrySnapshot",
    "unknown_alias",
    "unknown_model",
    "unknown_rollout",
    "unknown_version",
]


class RegisteredVersion(BaseModel):
    """One version: the sha256 of its manifest and of its model file, and how it stands.

    ``state`` is ``staged`` until an alias or a rollout first points to it, then ``live``, and
    ``retired`` when it is to answer no more. ``signature`` is Ed25519 over the manifest's bytes,
    in hexadecimal digits.
    """

    model_config = ConfigDict(frozen=True, from_attributes=True)

    model: str
    version: int
    manifest_sha256: str
    model_sha256: str
    created_at: datetime
    created_by: str
    reason: str
    signature: str | None = None
    parent_version: int | None = Field(None, description="The version it is to follow.")
    state: Literal["staged", "live", "retired"] = "staged"
    deprecated_at: datetime | None = None
    sunset_at: datetime | None = Field(None, description="When it is to be retired.")
    refused_at: datetime | None = Field(None, description="When it last failed the load gate.")
    refused_reason: str | None = None


class RegisteredAlias(BaseModel):
    """Where an alias points; ``revision`` is another after every move."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    model: str
    alias: str
    version: int
    revision: int
    updated_at: datetime


class RegisteredRollout(BaseModel):
    """A model's rollout; ``revision`` is another after every change."""

    model_config = ConfigDict(frozen=True)

    model: str
    rollout: Rollout
    revision: int
    updated_at: datetime


class RegisteredChange(BaseModel):
    """One change of the registry: who made it, when and why, and what was there before."""

    model_config = ConfigDict(frozen=True)

    number: int
    time: datetime
    actor: str
    reason: str
    model: str
    action: str
    subject: str = Field(description="The alias or the version that it is about, or `rollout`.")
    before: Any = None
    after: Any = None


class RegisteredModel(BaseModel):
    """One model as the registry has it: where its aliases point, its rollout, its versions."""

    model_config = ConfigDict(frozen=True)

    name: str
    aliases: dict[str, int]
    rollout: Rollout | None
    rollout_revision: int
    versions: tuple[RegisteredVersion, ...]


class RegistrySnapshot(BaseModel):
    """All models at one moment, sorted by name, and the number of changes up to then."""

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

    def get_alias(self, model: str, alias: str) -> RegisteredAlias:
        """Return where `alias` of `model` points, and its revision.

        Raises
        ------
        UnknownModelError, UnknownAliasError
            If there is no such model, or no such alias of it.
        """
        ...

    def read_generation(self) -> int:
        """Return a number that every change to what is served raises."""
        ...

    def read_snapshot(self) -> RegistrySnapshot:
        """Return all models in one consistent read."""
        ...

    def record_refusal(self, model: str, version: int, reason: str) -> None:
        """Note that a version failed the load gate, and why; again the same changes nothing."""
        ...

    def list_feature_catalogs(self) -> list[RegisteredCatalog]:
        """Return the newest feature catalog of each project, sorted by project."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


def unknown_model(model: str) -> UnknownModelError:
    """Return the error for a model that is not registered."""
    return UnknownModelError(f"Got model {model!r}, but no model of that name is registered.")


def unknown_version(model: str, version: int) -> UnknownVersionError:
    """Return the error for a version that the model does not have."""
    return UnknownVersionError(f"Got version {version}, but model {model!r} has no such version.")


def unknown_alias(model: str, alias: str) -> UnknownAliasError:
    """Return the error for an alias that the model does not have."""
    return UnknownAliasError(f"Got alias {alias!r}, but model {model!r} has no such alias.")


def unknown_rollout(model: str) -> UnknownRolloutError:
    """Return the error for a model without a rollout."""
    return UnknownRolloutError(f"Got model {model!r}, but it has no rollout; its champion answers.")
