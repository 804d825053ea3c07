"""The registry: models, versions, aliases, rollouts, their history, and feature catalogs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001_registry"
down_revision = None


def upgrade() -> None:
    """Make the tables of the registry, and its counter at 0."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "model",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("created_at", time, nullable=False),
    )
    op.create_table(
        "model_version",
        sa.Column("model", sa.String(), sa.ForeignKey("model.name"), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("manifest_sha256", sa.String(64), nullable=False),
        sa.Column("model_sha256", sa.String(64), nullable=False),
        sa.Column("signature", sa.String(), nullable=True),
        sa.Column("parent_version", sa.Integer(), nullable=True),
        sa.Column("created_at", time, nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("deprecated_at", time, nullable=True),
        sa.Column("sunset_at", time, nullable=True),
        sa.Column("refused_at", time, nullable=True),
        sa.Column("refused_reason", sa.String(), nullable=True),
        sa.UniqueConstraint("model", "manifest_sha256"),
    )
    op.create_table(
        "model_alias",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("alias", sa.String(63), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("updated_at", time, nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "version"], ["model_version.model", "model_version.version"]
        ),
    )
    op.create_table(
        "model_rollout",
        sa.Column("model", sa.String(), sa.ForeignKey("model.name"), primary_key=True),
        sa.Column("document", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("updated_at", time, nullable=False),
    )
    op.create_table(
        "registry_change",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("time", time, nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("before", sa.String(), nullable=True),
        sa.Column("after", sa.String(), nullable=True),
    )
    op.create_index("ix_registry_change_model", "registry_change", ["model"])
    op.create_table(
        "feature_catalog",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_at", time, nullable=False),
    )
    op.create_index("ix_feature_catalog_project", "feature_catalog", ["project"])
    generation = op.create_table(
        "registry_generation",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("value", sa.Integer(), nullable=False),
    )
    op.bulk_insert(generation, [{"id": 1, "value": 0}])
