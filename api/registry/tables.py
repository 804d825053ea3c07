"""The registry's tables: models, their immutable versions, aliases that move, and catalogs."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, ForeignKeyConstraint, TypeDecorator, UniqueConstraint
from sqlmodel import Field, SQLModel

__all__ = ["FeatureCatalogVersion", "Model", "ModelAlias", "ModelVersion", "SchemaVersion"]


class UtcDateTime(TypeDecorator[datetime]):
    """A timestamp that is aware and in UTC on both sides; SQLite alone would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Convert an aware datetime to UTC for storage."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Give a stored datetime its UTC zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class SchemaVersion(SQLModel, table=True):
    """The one row that says which release made these tables."""

    __tablename__ = "schema_version"

    version: int = Field(primary_key=True)


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


class FeatureCatalogVersion(SQLModel, table=True):
    """A catalog that a project published; the one with the highest number is in force."""

    __tablename__ = "feature_catalog"

    number: int | None = Field(default=None, primary_key=True)
    project: str = Field(index=True)
    sha256: str = Field(max_length=64)
    created_at: datetime = Field(sa_type=UtcDateTime)
