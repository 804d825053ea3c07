"""Brings a database's tables to what this release has."""

from __future__ import annotations

from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from zeroskew.contract.errors.service import RegistrySchemaError
from zeroskew.records.database.head_revision import HEAD_REVISION

__all__ = ["migrate_database"]

_ADVISORY_LOCK: Final = 0x7E05_4E77
"""The number that PostgreSQL knows our migrations by: one process migrates, others wait."""


def migrate_database(engine: Engine) -> None:
    """Take all steps that the database has not taken yet, in one transaction.

    Processes that begin at once take turns, and the later ones find nothing to do.

    Raises
    ------
    RegistrySchemaError
        If a newer release has taken a step that this one does not know.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
        try:
            command.upgrade(_make_config(connection), HEAD_REVISION)
        except CommandError as error:
            raise RegistrySchemaError(
                "Got a database with tables of a newer release, but expected this one's or older."
            ) from error


def _make_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "zeroskew.records.database:migrations")
    config.attributes["connection"] = connection
    return config
