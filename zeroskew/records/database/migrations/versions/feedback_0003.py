"""The labels that come as feedback."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_feedback"
down_revision = "0002_prediction_log"


def upgrade() -> None:
    """Make the table of labels."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "label",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("idempotency_key", sa.String(128), nullable=False, unique=True),
        sa.Column("body_sha256", sa.String(64), nullable=False),
        sa.Column("prediction_id", sa.String(36), nullable=True),
        sa.Column("row", sa.Integer(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("entity_key", sa.String(), nullable=True),
        sa.Column("time", time, nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("value_number", sa.Float(), nullable=True),
        sa.Column("value_text", sa.String(), nullable=True),
        sa.Column("observed_at", time, nullable=False),
        sa.Column("received_at", time, nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
    )
    op.create_index("ix_label_prediction", "label", ["prediction_id", "row"])
    op.create_index("ix_label_entity", "label", ["model", "entity_key", "time"])
