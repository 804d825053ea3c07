"""Where each service keeps what it stores."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_service_places"
down_revision = "0005_pushed_rows"


def upgrade() -> None:
    """Make the table of the services' places."""
    op.create_table(
        "service_place",
        sa.Column("host", sa.String(), primary_key=True),
        sa.Column("spool_dir", sa.String(), primary_key=True),
        sa.Column("online_store", sa.String(), primary_key=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    )
