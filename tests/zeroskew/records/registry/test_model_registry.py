"""The registry numbers, finds and aliases versions, whoever else is publishing."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from zeroskew.contract.errors.not_found import (
    UnknownAliasError,
    UnknownModelError,
    UnknownVersionError,
)
from zeroskew.contract.errors.service import RegistrySchemaError
from zeroskew.records.database.open_database import open_database
from zeroskew.records.registry.model_registry import ModelRegistry
from zeroskew.records.registry.tables import ModelAlias


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder}/registry/zeroskew.db"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[ModelRegistry]:
    opened = ModelRegistry.open(database_url(tmp_path))
    yield opened
    opened.close()


def register(registry: ModelRegistry, digit: str, model: str = "delay") -> int:
    return registry.register(
        model=model, manifest_sha256=digit * 64, model_sha256="f" * 64, created_by="test"
    ).version


def test_versions_count_from_one_within_each_model(registry: ModelRegistry) -> None:
    assert [register(registry, digit) for digit in "ab"] == [1, 2]
    assert register(registry, "c", model="fare") == 1
    assert registry.list_models() == ["delay", "fare"]


def test_registering_the_same_manifest_again_returns_its_version(registry: ModelRegistry) -> None:
    assert [register(registry, digit) for digit in "abab"] == [1, 2, 1, 2]
    assert [row.version for row in registry.list_versions("delay")] == [2, 1]


def test_a_version_carries_what_was_registered_and_an_aware_time(registry: ModelRegistry) -> None:
    register(registry, "a")
    found = registry.get_version("delay", 1)
    assert (found.manifest_sha256, found.model_sha256) == ("a" * 64, "f" * 64)
    assert found.created_at.utcoffset() == timedelta(0)
    assert found.created_at <= datetime.now(UTC)


def test_an_alias_moves(registry: ModelRegistry) -> None:
    register(registry, "a")
    register(registry, "b")
    registry.set_alias("delay", "champion", 1)
    registry.set_alias("delay", "challenger", 2)
    registry.set_alias("delay", "champion", 2)
    assert registry.list_aliases("delay") == {"challenger": 2, "champion": 2}
    assert registry.resolve_alias("delay", "champion").manifest_sha256 == "b" * 64


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda r: r.get_version("nope", 1), UnknownModelError),
        (lambda r: r.list_versions("nope"), UnknownModelError),
        (lambda r: r.list_aliases("nope"), UnknownModelError),
        (lambda r: r.resolve_alias("nope", "champion"), UnknownModelError),
        (lambda r: r.get_version("delay", 2), UnknownVersionError),
        (lambda r: r.set_alias("delay", "champion", 2), UnknownVersionError),
        (lambda r: r.resolve_alias("delay", "champion"), UnknownAliasError),
    ],
)
def test_what_does_not_exist_is_refused_by_name(
    registry: ModelRegistry, call: Callable[[ModelRegistry], object], error: type[Exception]
) -> None:
    register(registry, "a")
    with pytest.raises(error, match="Got"):
        call(registry)


def test_the_newest_catalog_of_each_project_is_in_force(registry: ModelRegistry) -> None:
    assert registry.list_feature_catalogs() == []
    for project, digit in (("shop", "a"), ("flights", "b"), ("shop", "c"), ("shop", "a")):
        registry.add_feature_catalog(project=project, sha256=digit * 64)
    found = registry.list_feature_catalogs()
    assert [(one.project, one.sha256[0]) for one in found] == [("flights", "b"), ("shop", "a")]
    assert all(one.created_at.utcoffset() == timedelta(0) for one in found)


def test_a_catalog_published_again_makes_no_history(tmp_path: Path) -> None:
    registry = ModelRegistry.open(database_url(tmp_path))
    for digit in "aaba":
        registry.add_feature_catalog(project="shop", sha256=digit * 64)
    registry.close()
    with sqlite3.connect(tmp_path / "registry/zeroskew.db") as connection:
        rows = connection.execute("SELECT substr(sha256, 1, 1) FROM feature_catalog").fetchall()
    connection.close()
    assert rows == [("a",), ("b",), ("a",)]


def test_the_database_itself_refuses_an_alias_to_nowhere(tmp_path: Path) -> None:
    engine = open_database(database_url(tmp_path))
    nowhere = ModelAlias(
        model="delay", alias="champion", version=9, revision=1, updated_at=datetime.now(UTC)
    )
    with Session(engine) as session:
        session.add(nowhere)
        with pytest.raises(IntegrityError):
            session.commit()
    engine.dispose()


def test_a_registry_of_another_release_is_refused(tmp_path: Path) -> None:
    ModelRegistry.open(database_url(tmp_path)).close()
    with sqlite3.connect(tmp_path / "registry/zeroskew.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_later'")
    connection.close()
    with pytest.raises(RegistrySchemaError, match=r"Got .*9999_later.*, but expected"):
        ModelRegistry.open(database_url(tmp_path))


def publish_ten(arguments: tuple[str, str]) -> list[int]:
    url, publisher = arguments
    registry = ModelRegistry.open(url)
    versions = []
    for number in range(10):
        digest = f"{publisher}{number}".ljust(64, "0")
        row = registry.register(model="delay", manifest_sha256=digest, model_sha256="f" * 64)
        registry.set_alias("delay", "champion", row.version)
        versions.append(row.version)
    registry.close()
    return versions


def test_concurrent_publishers_never_share_a_number(tmp_path: Path) -> None:
    jobs = [(database_url(tmp_path), publisher) for publisher in "abc"]
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        versions = [version for row in pool.map(publish_ten, jobs) for version in row]
    assert sorted(versions) == list(range(1, 31))
