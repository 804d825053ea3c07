"""Keys, tenants, and who changed them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_access"
down_revision = "0003_feedback"


def upgrade() -> None:
    """Make the tables of keys and acts, and let models have a tenant."""
    time = sa.DateTime(timezone=True)
    op.add_column("model", sa.Column("tenant", sa.String(63), nullable=True))
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scopes", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(63), nullable=True),
        sa.Column("requests_per_sec", sa.Float(), nullable=True),
        sa.Column("requests_per_day", sa.Integer(), nullable=True),
        sa.Column("created_at", time, nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("expires_at", time, nullable=True),
        sa.Column("revoked_at", time, nullable=True),
        sa.Column("last_used_at", time, nullable=True),
    )
    op.create_table(
        "access_change",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("time", time, nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("before", sa.String(), nullable=True),
        sa.Column("after", sa.String(), nullable=True),
    )
