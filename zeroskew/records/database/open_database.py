"""Opens the database, and refuses one whose tables are not this release's."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, column, create_engine, event, inspect, select, table
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DisconnectionError

from zeroskew.contract.database_url import BUSY_TIMEOUT_SEC, locate_database
from zeroskew.contract.errors.service import RegistrySchemaError
from zeroskew.records.database.head_revision import check_revision, describe_revision
from zeroskew.records.database.sqlite_connection import identify_file

__all__ = ["describe_database", "open_database", "writing"]

_WRITE: Final = {"registry_write": True}
_VERSIONS: Final = table("alembic_version", column("version_num"))

_LOST_AFTER: Final = {"connect_timeout": 5, "tcp_user_timeout": 10_000}
"""After how many seconds, and milliseconds, libpq gives a server up that no packet reaches."""


def open_database(
    url: str, *, busy_timeout_sec: float = BUSY_TIMEOUT_SEC, check_tables: bool = True
) -> Engine:
    """Open the database, making its folder and tables where there are none.

    Parameters
    ----------
    url
        Of SQLite or PostgreSQL, for example ``sqlite:///var/zeroskew.db``.
    busy_timeout_sec
        How long a call waits for a lock of SQLite that another process holds.
    check_tables
        Whether to look at the tables at all; who migrates them does not.

    Returns
    -------
    Engine
        On SQLite, foreign keys are enforced and a write takes its lock when it begins, so
        that two publishers queue instead of failing half-way.

    Raises
    ------
    ValueError
        If the URL is of neither SQLite nor PostgreSQL.
    RegistrySchemaError
        If there are tables, and they are not this release's, or if PostgreSQL keeps the
        database's text in another encoding than UTF8.
    """
    place = locate_database(url)
    if isinstance(place, Path):
        place.parent.mkdir(parents=True, exist_ok=True)
        engine = _create_engine(place, timeout=busy_timeout_sec)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        _follow_file(engine, place)
    else:
        engine = _create_engine(place, **_LOST_AFTER)
        # Before SQLAlchemy asks anything, and cannot read the answer.
        event.listen(engine, "connect", _check_encoding, insert=True)
    if not check_tables:
        return engine
    try:
        _check_or_make_tables(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def describe_database(url: str, *, timeout_sec: float) -> str | None:
    """Say what keeps this release from working with a database that exists; change nothing.

    Parameters
    ----------
    url
        A SQLAlchemy URL.
    timeout_sec
        How long to wait for the server, or for the file's lock.

    Returns
    -------
    str or None
        A sentence; ``None`` where there are no tables yet, or ones that `zeroskew migrate`
        brings to this release.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        If it cannot be reached, or is no database.
    """
    place = locate_database(url)
    name = "timeout" if isinstance(place, Path) else "connect_timeout"
    engine = _create_engine(place, **{name: max(1, int(timeout_sec))})
    try:
        return describe_revision(_read_revisions(engine), inspect(engine).get_table_names())
    finally:
        engine.dispose()


def writing(engine: Engine) -> Engine:
    """Return `engine` set so that its transactions take the write lock when they begin."""
    return engine.execution_options(**_WRITE)


def _create_engine(place: Path | str, **connect_args: float) -> Engine:
    if isinstance(place, Path):
        url = URL.create("sqlite", database=str(place))
    else:
        url = make_url(place).set(drivername="postgresql+psycopg")
    # A connection to a server may have been lost since it was last used.
    return create_engine(
        url,
        pool_pre_ping=not isinstance(place, Path),
        connect_args=connect_args,
        hide_parameters=True,
    )


def _check_encoding(connection: Any, _record: Any) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise RegistrySchemaError(
            f"Got a database with the encoding {encoding}, but expected UTF8: "
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0."
        )


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver would otherwise begin transactions itself, and only at the first write.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")


def _follow_file(engine: Engine, path: Path) -> None:
    """Let the pool's connections be of the file that is there, as after a backup was put back.

    While there is none they stay: SQLite refuses to write to a file that was moved away, and
    to connect anew would make an empty one.
    """

    def note(_connection: Any, record: Any) -> None:
        record.info["file"] = identify_file(path)

    def check(_connection: Any, record: Any, _proxy: Any) -> None:
        if identify_file(path) not in (None, record.info["file"]):
            raise DisconnectionError

    event.listen(engine, "connect", note)
    event.listen(engine, "checkout", check)


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("registry_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _check_or_make_tables(engine: Engine) -> None:
    if not inspect(engine).get_table_names():
        # Alembic is only imported where there is something to do.
        from zeroskew.records.database.migrate_database import migrate_database

        migrate_database(writing(engine))
    check_revision(_read_revisions(engine))


def _read_revisions(engine: Engine) -> list[str]:
    """Return the migrations' last step that the database has taken; empty where it has none."""
    if not inspect(engine).has_table(_VERSIONS.name):
        return []
    with engine.connect() as connection:
        return list(connection.scalars(select(_VERSIONS.c.version_num)))
