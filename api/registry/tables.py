"""The registry's tables: models, their immutable versions, aliases that move, and catalogs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlmodel import Field, SQLModel

from api.database.column_types import UtcDateTime

__all__ = ["FeatureCatalogVersion", "Model", "ModelAlias", "ModelVersion", "RegistryGeneration"]


class Model(SQLModel, table=True):
    """A model's name; everything else about it belongs to a version."""

    __tablename__ = "model"

    name: str = Field(primary_key=True, max_length=63)
    created_at: datetime = Field(sa_type=UtcDateTime)


class ModelVersion(SQLModel, table=True):
    """One immutable version: the sha256 of its manifest and of its model file."""

    __tablename__ = "model_version"
    __table_args__ = (UniqueConstraint("model", "manifest_sha256"),)

    model: str = Field(primary_key=True, foreign_key="model.name")
    version: int = Field(primary_key=True, ge=1)
    manifest_sha256: str = Field(max_length=64)
    model_sha256: str = Field(max_length=64)
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str
    reason: str
    signature: str | None = Field(default=None, max_length=128)
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
    updated_at: datetime = Field(sa_type=UtcDateTime)


class RegistryGeneration(SQLModel, table=True):
    """One row: a counter that every change raises in its own transaction."""

    __tablename__ = "registry_generation"

    id: int = Field(primary_key=True)
    number: int


class FeatureCatalogVersion(SQLModel, table=True):
    """A catalog that a project published; the one with the highest number is in force."""

    __tablename__ = "feature_catalog"

    number: int | None = Field(default=None, primary_key=True)
    project: str = Field(index=True)
    sha256: str = Field(max_length=64)
    created_at: datetime = Field(sa_type=UtcDateTime)
