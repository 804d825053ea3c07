"""The registry read without SQLAlchemy: the same answers, and the same refusals."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from api.errors import NotFoundError, RegistrySchemaError
from api.registry.model_registry import ModelRegistry
from api.registry.open_registry import open_registry
from api.registry.registered_version import RegistryReader
from api.registry.sqlite_registry import SqliteRegistry

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
    lambda r: r.list_feature_catalogs(),
    lambda r: r.read_generation(),
    lambda r: r.read_snapshot(),
]
REFUSED: list[Callable[[RegistryReader], object]] = [
    lambda r: r.list_versions("nope"),
    lambda r: r.list_aliases("nope"),
    lambda r: r.get_version("nope", 1),
    lambda r: r.get_version("delay", 3),
    lambda r: r.get_version("fare", 2),
    lambda r: r.resolve_alias("nope", "champion"),
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
    for project, digit in (("shop", "d"), ("flights", "a"), ("flights", "b")):
        written.add_feature_catalog(project=project, sha256=digit * 64)
    yield written, SqliteRegistry(database, busy_timeout_sec=1)
    written.close()


@pytest.mark.parametrize("call", CALLS)
def test_both_ways_answer_alike(readers: Readers, call: Callable[[RegistryReader], object]) -> None:
    expected, answered = (call(reader) for reader in readers)
    assert answered == expected
    assert repr(answered) == repr(expected)  # time zones too


def test_every_change_raises_the_generation(readers: Readers) -> None:
    written, answering = readers
    before = answering.read_generation()
    written.set_alias("delay", "champion", 1)
    written.register(model="fare", manifest_sha256="e" * 64, model_sha256="f" * 64)
    assert answering.read_generation() == before + 2
    snapshot = answering.read_snapshot()
    assert snapshot.generation == before + 2
    assert {model.name: model.aliases for model in snapshot.models} == {
        "delay": {"challenger": 1, "champion": 1},
        "fare": {},
    }


@pytest.mark.parametrize("recorder", [0, 1])
def test_the_first_reason_of_a_refusal_stays(readers: Readers, recorder: int) -> None:
    before = readers[0].read_generation()
    readers[recorder].record_refusal("delay", 2, "Got a bad one.")
    readers[1 - recorder].record_refusal("delay", 2, "Got another.")
    readers[recorder].record_refusal("delay", 99, "Got none.")
    assert [reader.read_generation() for reader in readers] == [before + 1] * 2
    noted = [reader.get_version("delay", 2) for reader in readers]
    assert noted[0] == noted[1]
    assert noted[0].refused_reason == "Got a bad one."
    assert noted[0].refused_at is not None


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


def test_a_registry_in_memory_is_left_to_sqlalchemy() -> None:
    registry = open_registry("sqlite:///:memory:", busy_timeout_sec=1)
    assert isinstance(registry, ModelRegistry)
    registry.close()


@pytest.mark.parametrize(
    "change", ["UPDATE schema_version SET version = 99", "DELETE FROM schema_version"]
)
def test_tables_of_another_release_are_refused(
    readers: Readers, database: Path, change: str
) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(change)
    with pytest.raises(RegistrySchemaError, match="Got a registry with schema version"):
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
