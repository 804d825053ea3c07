"""The registry's tables: models, their immutable versions, what moves, and what moved."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlmodel import Field, SQLModel

from zeroskew.records.database.column_types import UtcDateTime

__all__ = [
    "FeatureCatalogVersion",
    "Model",
    "ModelAlias",
    "ModelRollout",
    "ModelVersion",
    "RegistryChange",
    "RegistryGeneration",
]


class Model(SQLModel, table=True):
    """A model's name and whose it is; everything else about it belongs to a version."""

    __tablename__ = "model"

    name: str = Field(primary_key=True, max_length=63)
    tenant: str | None = Field(default=None, max_length=63)
    created_at: datetime = Field(sa_type=UtcDateTime)


class ModelVersion(SQLModel, table=True):
    """One version: its files, which never change, and its state, which does."""

    __tablename__ = "model_version"
    __table_args__ = (UniqueConstraint("model", "manifest_sha256"),)

    model: str = Field(primary_key=True, foreign_key="model.name")
    version: int = Field(primary_key=True, ge=1, sa_column_kwargs={"autoincrement": False})
    manifest_sha256: str = Field(max_length=64)
    model_sha256: str = Field(max_length=64)
    signature: str | None = None
    parent_version: int | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str
    reason: str
    state: str = Field(default="staged", max_length=16)
    deprecated_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    sunset_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    refused_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    refused_reason: str | None = None


class ModelAlias(SQLModel, table=True):
    """A name that points to one version of a model, for example ``champion``."""

    __tablename__ = "model_alias"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model", "version"], ["model_version.model", "model_version.version"]
        ),
    )

    model: str = Field(primary_key=True)
    alias: str = Field(primary_key=True, max_length=63)
    version: int
    revision: int
    updated_at: datetime = Field(sa_type=UtcDateTime)


class ModelRollout(SQLModel, table=True):
    """A model's rollout, as the JSON of `zeroskew.contract.rollout.Rollout`."""

    __tablename__ = "model_rollout"

    model: str = Field(primary_key=True, foreign_key="model.name")
    document: str
    revision: int
    updated_at: datetime = Field(sa_type=UtcDateTime)


class RegistryChange(SQLModel, table=True):
    """One change: who made it, when and why, and what was there before and after, as JSON."""

    __tablename__ = "registry_change"

    number: int | None = Field(default=None, primary_key=True)
    time: datetime = Field(sa_type=UtcDateTime)
    actor: str
    reason: str
    model: str = Field(index=True)
    action: str
    subject: str
    before: str | None = None
    after: str | None = None


class RegistryGeneration(SQLModel, table=True):
    """The one row that counts changes; whoever changes anything raises it first."""

    __tablename__ = "registry_generation"

    id: int = Field(default=1, primary_key=True)
    value: int


class FeatureCatalogVersion(SQLModel, table=True):
    """A catalog that a project published; the one with the highest number is in force."""

    __tablename__ = "feature_catalog"

    number: int | None = Field(default=None, primary_key=True)
    project: str = Field(index=True)
    sha256: str = Field(max_length=64)
    created_at: datetime = Field(sa_type=UtcDateTime)
