"""A database whose file is put back from a backup is read and written there from then on."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from zeroskew.records.registry.model_registry import ModelRegistry


def list_aliases(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT alias FROM model_alias")]


def take_away(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def test_a_registry_goes_on_with_the_file_that_takes_the_place_of_its_own(tmp_path: Path) -> None:
    path, backup = tmp_path / "registry.db", tmp_path / "backup.db"
    registry = ModelRegistry.open(f"sqlite:///{path}")
    registry.register(model="delay", manifest_sha256="a" * 64, model_sha256="f" * 64)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(backup),))
    registry.set_alias("delay", "later", 1)

    take_away(path)
    with pytest.raises(OperationalError):
        registry.set_alias("delay", "lost", 1)
    assert not path.exists()

    backup.rename(path)
    assert registry.list_aliases("delay") == {}
    registry.set_alias("delay", "champion", 1)
    assert list_aliases(path) == ["champion"]
    registry.close()
