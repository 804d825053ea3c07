"""Opens the database and refuses one whose tables this release does not know."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel, select

from api.database.schema_version import SCHEMA_VERSION, check_schema_version

__all__ = ["BUSY_TIMEOUT_SEC", "open_database", "writing"]

BUSY_TIMEOUT_SEC: Final = 30.0
"""How long a publisher waits for another one."""

_WRITE: Final = {"registry_write": True}


class SchemaVersion(SQLModel, table=True):
    """The one row that says which release made these tables."""

    __tablename__ = "schema_version"

    version: int = Field(primary_key=True)


def open_database(url: str, *, busy_timeout_sec: float = BUSY_TIMEOUT_SEC) -> Engine:
    """Open the registry's database, making its folder and tables where there are none.

    Parameters
    ----------
    url
        A SQLAlchemy URL, for example ``sqlite:///var/zeroskew.db``.
    busy_timeout_sec
        How long a call waits for a lock of SQLite that another process holds.

    Returns
    -------
    Engine
        On SQLite, foreign keys are enforced and a write takes its lock when it begins, so
        that two publishers queue instead of failing half-way.

    Raises
    ------
    RegistrySchemaError
        If the tables were made by a release that this one does not know.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        engine = create_engine(url, pool_pre_ping=True)
    else:
        if parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, connect_args={"timeout": busy_timeout_sec})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        _create_or_check_schema(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def writing(engine: Engine) -> Engine:
    """Return `engine` set so that its transactions take the write lock when they begin."""
    return engine.execution_options(**_WRITE)


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver would otherwise begin transactions itself, and only at the first write.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("registry_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _create_or_check_schema(engine: Engine) -> None:
    if not inspect(engine).has_table(SchemaVersion.__tablename__):
        _create_schema(engine)
    with Session(engine) as session:
        check_schema_version(list(session.exec(select(SchemaVersion.version)).all()))


def _create_schema(engine: Engine) -> None:
    try:
        with writing(engine).begin() as connection:
            SQLModel.metadata.create_all(connection)
            connection.execute(SchemaVersion.__table__.insert().values(version=SCHEMA_VERSION))  # type: ignore[attr-defined]  # SQLModel does not declare it
    except IntegrityError:
        # Another process made the tables between our look and our write.
        return
