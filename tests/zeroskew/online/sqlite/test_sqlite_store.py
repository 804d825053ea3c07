"""What commands do to an online store in a SQLite file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from tests.support.online_stores import ViewSpec, make_store, write_rows
from zeroskew.online.reader import StoredView
from zeroskew.online.schemes import open_store
from zeroskew.online.store import OnlineStore, StoredEntity, TableSize

VIEWS = [
    ViewSpec("gate", {"gate_number": "INT32"}, {"walk": "INT64", "width": "FLOAT"}),
    ViewSpec("wait", {"gate_number": "INT32"}, {"minutes": "INT64"}),
]
TABLES = ["trial_gate", "trial_wait"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two gates, one of them with a wait."""
    store = make_store(tmp_path, VIEWS)
    write_rows(store, "gate", [{"gate_number": n, "walk": n, "width": 0.5} for n in (1, 2)])
    write_rows(store, "wait", [{"gate_number": 2, "minutes": 9}])
    return tmp_path / "online.db"


def open_at(path: Path) -> OnlineStore:
    return open_store(f"sqlite:///{path}")


def key_of(gate: int) -> bytes:
    proto = EntityKey(join_keys=["gate_number"], entity_values=[Value(int32_val=gate)])
    return bytes(serialize_entity_key(proto, entity_key_serialization_version=3))


def test_a_file_is_measured_by_the_tables_of_views(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM zeroskew_event_times").fetchone() == (3,)
    assert open_at(path).measure() == {"trial_gate": TableSize(2, 4), "trial_wait": TableSize(1, 1)}


def test_what_is_no_store_holds_nothing(tmp_path: Path) -> None:
    assert open_at(tmp_path / "none.db").measure() == {}
    (tmp_path / "broken.db").write_bytes(b"no database" * 1000)
    assert open_at(tmp_path / "broken.db").measure() == {}
    entities = open_at(tmp_path / "none.db").open_entities("trial", TABLES)
    assert (entities.find(lambda _: True), entities.erase(lambda _: True)) == ([], 0)
    assert list(entities.list_keys(StoredView("gate", "trial_gate", ()), b"")) == []
    assert not (tmp_path / "none.db").exists()


def test_entities_are_found_and_erased_in_the_projects_tables_alone(path: Path) -> None:
    online = open_at(path)
    gate, both = online.open_entities("trial", TABLES[:1]), online.open_entities("trial", TABLES)
    assert sorted(both.list_keys(StoredView("gate", "trial_gate", ()), b"")) == [
        key_of(1),
        key_of(2),
    ]
    assert both.find(lambda key: key == key_of(2)) == [
        StoredEntity(
            key_of(2),
            {
                "walk": Value(int64_val=2).SerializeToString(),
                "width": Value(float_val=0.5).SerializeToString(),
            },
            "gate",
        ),
        StoredEntity(key_of(2), {"minutes": Value(int64_val=9).SerializeToString()}, "wait"),
    ]
    assert gate.erase(lambda key: key == key_of(2)) == 1
    assert online.measure() == {"trial_gate": TableSize(1, 2), "trial_wait": TableSize(1, 1)}
    assert both.erase(lambda key: key == key_of(2)) == 1
    with closing(sqlite3.connect(path)) as database:
        (left,) = database.execute("SELECT entity_key FROM zeroskew_event_times").fetchall()
    assert left == (key_of(1),)
    assert key_of(2) not in path.read_bytes()


def test_an_empty_copy_is_a_file_of_its_own(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "simulation"
    folder.mkdir()
    (folder / "online.db").write_text("of an earlier one")
    copy = open_at(path).make_empty_copy(folder)
    assert copy.address == f"sqlite:///{folder}/online.db"
    assert copy.section == {"path": f"{folder}/online.db"}
    assert not (folder / "online.db").exists()
    assert open_at(path).measure()


def test_a_file_is_not_pinged(tmp_path: Path) -> None:
    assert open_at(tmp_path / "none.db").ping(timeout_sec=1) is None
