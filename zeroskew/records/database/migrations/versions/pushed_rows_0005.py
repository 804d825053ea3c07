"""The pushed rows that wait for the lake."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_pushed_rows"
down_revision = "0004_access"


def upgrade() -> None:
    """Make the table of pushed rows."""
    op.create_table(
        "pushed_rows",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("rows", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("part", sa.String(), nullable=True),
        # A number is not given again when the last row is deleted: part files are named by it.
        sqlite_autoincrement=True,
    )
    op.create_index("ix_pushed_rows_source", "pushed_rows", ["project", "source", "number"])
