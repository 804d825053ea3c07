"""The prediction log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_prediction_log"
down_revision = "0001_registry"


def upgrade() -> None:
    """Make the table of predictions; in PostgreSQL it has partitions by time, at first one.

    `zeroskew log upkeep` makes those of the months. A partition's key is a part of the primary one.
    """
    time = sa.DateTime(timezone=True)
    is_postgres = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "prediction",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("part", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("time", time, nullable=False, primary_key=is_postgres),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("arm", sa.String(), nullable=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("answer_id", sa.String(), nullable=True),
        sa.Column("n_rows", sa.Integer(), nullable=False),
        sa.Column("numbers", sa.String(), nullable=True),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("overrides", sa.String(), nullable=True),
        sa.Column("features", sa.LargeBinary(), nullable=False),
        sa.Column("request_inputs", sa.LargeBinary(), nullable=False),
        sa.Column("statuses", sa.LargeBinary(), nullable=False),
        sa.Column("event_times", sa.LargeBinary(), nullable=False),
        sa.Column("output", sa.LargeBinary(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("degraded", sa.Boolean(), nullable=False),
        sa.Column("latency_us", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("caller", sa.String(), nullable=False),
        sa.Column("logged_at", time, nullable=False),
        postgresql_partition_by="RANGE (time)",
    )
    if is_postgres:
        op.execute("CREATE TABLE prediction_default PARTITION OF prediction DEFAULT")
    op.create_index("ix_prediction_model_time", "prediction", ["model", "time"])
