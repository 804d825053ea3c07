"""The registry read without SQLAlchemy: the same answers, and the same refusals."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from zeroskew.contract.errors.not_found import NotFoundError
from zeroskew.contract.errors.service import RegistrySchemaError
from zeroskew.contract.rollout import Arm, Rollout
from zeroskew.records.registry.model_registry import ModelRegistry
from zeroskew.records.registry.open_registry import open_registry
from zeroskew.records.registry.registered_version import RegistryReader
from zeroskew.records.registry.sqlite_registry import SqliteRegistry

Readers = tuple[ModelRegistry, SqliteRegistry]

CALLS: list[Callable[[RegistryReader], object]] = [
    lambda r: r.list_models(),
    lambda r: r.list_versions("delay"),
    lambda r: r.list_versions("fare"),
    lambda r: r.list_aliases("delay"),
    lambda r: r.list_aliases("fare"),
    lambda r: r.get_version("delay", 1),
    lambda r: r.get_version("delay", 2),
    lambda r: r.resolve_alias("delay", "champion"),
    lambda r: r.resolve_alias("delay", "challenger"),
    lambda r: r.get_alias("delay", "champion"),
    lambda r: r.read_generation(),
    lambda r: r.read_snapshot(),
    lambda r: r.list_feature_catalogs(),
]
ROLLOUT = Rollout(
    kind="canary",
    arms=(
        Arm(name="champion", alias="champion", weight=0.9),
        Arm(name="candidate", version=1, weight=0.1),
    ),
)
REFUSED: list[Callable[[RegistryReader], object]] = [
    lambda r: r.list_versions("nope"),
    lambda r: r.list_aliases("nope"),
    lambda r: r.get_version("nope", 1),
    lambda r: r.get_version("delay", 3),
    lambda r: r.get_version("fare", 2),
    lambda r: r.resolve_alias("nope", "champion"),
    lambda r: r.get_alias("delay", "nope"),
    lambda r: r.resolve_alias("delay", "nope"),
    lambda r: r.resolve_alias("fare", "champion"),
]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "a folder 100%" / "zeroskew.db"


@pytest.fixture
def readers(database: Path) -> Iterator[Readers]:
    written = ModelRegistry.open(f"sqlite:///{database}")
    for digit, model in (("a", "delay"), ("b", "delay"), ("c", "fare")):
        written.register(
            model=model,
            manifest_sha256=digit * 64,
            model_sha256="f" * 64,
            created_by="O'Brien",
            reason="ünïcode",
        )
    written.set_alias("delay", "champion", 2)
    written.set_alias("delay", "challenger", 1)
    written.set_rollout("delay", ROLLOUT)
    written.deprecate("delay", 1, sunset_at=datetime(2100, 1, 1, tzinfo=UTC))
    written.record_refusal("fare", 1, "Got a graph that fails.")
    written.retire("fare", 1)
    for project, digit in (("shop", "d"), ("flights", "a"), ("flights", "b")):
        written.add_feature_catalog(project=project, sha256=digit * 64)
    yield written, SqliteRegistry(database, busy_timeout_sec=1)
    written.close()


@pytest.mark.parametrize("call", CALLS)
def test_both_ways_answer_alike(readers: Readers, call: Callable[[RegistryReader], object]) -> None:
    expected, answered = (call(reader) for reader in readers)
    assert answered == expected
    assert repr(answered) == repr(expected)  # time zones too


@pytest.mark.parametrize("call", REFUSED)
def test_both_ways_refuse_alike(readers: Readers, call: Callable[[RegistryReader], object]) -> None:
    refusals = []
    for reader in readers:
        with pytest.raises(NotFoundError) as refusal:
            call(reader)
        refusals.append((refusal.type, str(refusal.value)))
    assert refusals[0] == refusals[1]


def test_an_alias_that_moved_is_followed_at_once(readers: Readers) -> None:
    written, answering = readers
    assert answering.resolve_alias("delay", "champion").version == 2
    written.set_alias("delay", "champion", 1)
    assert answering.resolve_alias("delay", "champion").version == 1


def test_a_registry_with_tables_is_read_directly_and_a_new_one_is_made(database: Path) -> None:
    url = f"sqlite:///{database}"
    made = open_registry(url, busy_timeout_sec=1)
    assert isinstance(made, ModelRegistry)
    assert made.list_models() == []
    made.close()
    assert isinstance(open_registry(url, busy_timeout_sec=1), SqliteRegistry)


@pytest.mark.parametrize(
    "change", ["UPDATE alembic_version SET version_num = '9'", "DELETE FROM alembic_version"]
)
def test_tables_of_another_release_are_refused(
    readers: Readers, database: Path, change: str
) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(change)
    with pytest.raises(RegistrySchemaError, match="Got a database whose tables are at step"):
        open_registry(f"sqlite:///{database}", busy_timeout_sec=1)


def test_a_file_that_went_away_is_a_failure_and_does_not_come_back_empty(
    readers: Readers, database: Path
) -> None:
    answering = readers[1]
    database.unlink()
    with pytest.raises(answering.failures):
        answering.list_models()
    assert not database.exists()


def test_a_lock_is_waited_for_no_longer_than_told(readers: Readers, database: Path) -> None:
    answering = SqliteRegistry(database, busy_timeout_sec=0.05)
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(answering.failures):
            answering.list_models()
    assert answering.list_models() == ["delay", "fare"]


def test_a_refusal_is_noted_once_however_it_is_written(readers: Readers) -> None:
    written, answering = readers
    answering.record_refusal("delay", 2, "O'Brien's graph fails.")
    written.record_refusal("delay", 2, "O'Brien's graph fails.")
    answering.record_refusal("delay", 2, "O'Brien's graph fails.")
    answering.record_refusal("delay", 99, "Nobody knows it.")
    assert answering.get_version("delay", 2) == written.get_version("delay", 2)
    assert written.get_version("delay", 2).refused_reason == "O'Brien's graph fails."
    changes = written.list_changes("delay")
    assert [change.action for change in changes].count("refuse") == 1
    assert (changes[0].subject, changes[0].reason) == ("2", "O'Brien's graph fails.")
