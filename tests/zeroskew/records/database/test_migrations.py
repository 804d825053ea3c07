"""The migrations make the tables that the code has, once, whoever comes first."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlmodel import SQLModel

import zeroskew.records.access.access_tables
import zeroskew.records.labels.tables
import zeroskew.records.places.tables
import zeroskew.records.prediction_log.tables
import zeroskew.records.pushes.tables
import zeroskew.records.registry.tables
from tests.support.databases import DATABASES, open_database_url
from zeroskew.contract.errors.service import RegistrySchemaError
from zeroskew.records.database.head_revision import HEAD_REVISION
from zeroskew.records.database.migrate_database import migrate_database
from zeroskew.records.database.open_database import open_database


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with open_database_url(request.param, tmp_path) as opened:
        yield opened


def test_the_migrations_make_the_tables_of_the_code(url: str) -> None:
    engine = open_database(url)
    with engine.connect() as connection:
        options = {
            "compare_type": True,
            "compare_server_default": True,
            "include_name": lambda name, _kind, _parents: name != "prediction_default",
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


def test_the_head_is_the_last_step() -> None:
    scripts = ScriptDirectory(
        str(Path(zeroskew.records.registry.tables.__file__).parents[1] / "database/migrations")
    )
    assert scripts.get_heads() == [HEAD_REVISION]


def open_and_close(url: str) -> str:
    engine = open_database(url)
    engine.dispose()
    return HEAD_REVISION


def test_processes_that_begin_at_once_make_the_tables_once(url: str) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(open_and_close, [url] * 4)) == [HEAD_REVISION] * 4


def test_tables_at_another_step_are_refused_and_named(url: str) -> None:
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999_later'"))
    engine.dispose()
    with pytest.raises(RegistrySchemaError, match=f"9999_later.*{HEAD_REVISION}.*zeroskew migrate"):
        open_database(url)
    engine = open_database(url, check_tables=False)
    with pytest.raises(RegistrySchemaError, match="newer release"):
        migrate_database(engine)
    engine.dispose()


def test_a_database_without_steps_is_brought_to_the_head(url: str) -> None:
    engine = open_database(url, check_tables=False)
    assert inspect(engine).get_table_names() == []
    migrate_database(engine)
    migrate_database(engine)
    engine.dispose()
    open_database(url).dispose()


def test_a_database_of_another_encoding_is_refused(tmp_path: Path) -> None:
    with (
        open_database_url("postgres", tmp_path, encoding="SQL_ASCII") as url,
        pytest.raises(RegistrySchemaError, match="encoding SQL_ASCII, but expected UTF8"),
    ):
        open_database(url)
