"""The reader over Feast's SDK: PostgreSQL, as an example of the stores it is for."""

import asyncio
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import yaml
from feast import FeatureStore

from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.manifests import HOUR_US, view_plan
from tests.support.online_equality import N_CELLS, compare_with_sdk
from tests.support.online_equality import VIEWS as ALL_TYPES
from tests.support.online_stores import EVENT_TIME, ViewSpec, make_store, write_rows
from tests.support.postgres_databases import open_database
from tests.support.waiting import PATIENCE_SEC, is_done_by, wait_until
from zeroskew.contract.errors.service import OnlineStoreUnavailableError
from zeroskew.contract.feature_status import FeatureStatus
from zeroskew.contract.manifest import Column, FeaturePlan, FieldType, RequestField
from zeroskew.contract.time.epoch import NEVER_US, to_epoch_us
from zeroskew.model.plan.read_plan import ReadPlan
from zeroskew.model.requests.instances import RequestRow
from zeroskew.online.feast_sdk.reader import FeastFeatureReader, load_config
from zeroskew.online.reader import StoredFeatures
from zeroskew.online.schemes import open_store

FIELDS = (
    RequestField(
        name="gate_number", type=FieldType.INTEGER, description="A key.", example=1, nullable=True
    ),
)
GATE = ViewSpec("gate", {"gate_number": "INT32"}, {"walk": "FLOAT", "name": "STRING"})
PLAN = ReadPlan(
    FIELDS,
    FeaturePlan(
        project="trial",
        feature_service="gate_v1",
        views=(view_plan("gate", dict(GATE.keys), dict(GATE.features)),),
        columns=(
            Column(name="walk", view="gate", feature="walk"),
            Column(name="name", view="gate", feature="name", categories=("A", "B")),
        ),
    ),
)
EVENT_US = to_epoch_us(EVENT_TIME)


def write_config(folder: Path, online_store: dict[str, Any], **changes: Any) -> Path:
    """Write a feature_store.yaml whose offline store and registry cannot be opened here."""
    path = folder / "feature_store.yaml"
    settings = {
        "project": "trial",
        "provider": "local",
        "registry": "postgresql://nobody@nowhere/none",
        "online_store": online_store,
        "offline_store": {"type": "not.installed.OfflineStore"},
        "entity_key_serialization_version": 3,
    }
    path.write_text(yaml.safe_dump(settings | changes))
    return path


@pytest.fixture
def database() -> Iterator[dict[str, Any]]:
    with open_database() as config:
        yield config


@pytest.fixture
def gates(tmp_path: Path, database: dict[str, Any]) -> Iterator[FeatureStore]:
    store = make_store(tmp_path, [GATE], database)
    write_rows(
        store,
        "gate",
        [
            {"gate_number": 1, "walk": 2.5, "name": "B"},
            {"gate_number": 2, "walk": None, "name": None},
        ],
        event_time=EVENT_TIME + timedelta(microseconds=123_457),
    )
    yield store
    close(store)


def close(store: FeatureStore) -> None:
    """Close the connection that Feast leaves to the garbage collector."""
    store._get_provider().online_store._conn.close()


def read(
    config: Path, keys: list[int | None], *, timeout_sec: float = PATIENCE_SEC
) -> StoredFeatures:
    async def ask() -> StoredFeatures:
        reader = FeastFeatureReader(load_config(config), timeout_sec=timeout_sec)
        try:
            return await reader.read(PLAN.layout, PLAN.serialize_keys([(key,) for key in keys]))
        finally:
            await reader.close()

    return asyncio.run(ask())


def test_cells_of_every_type_equal_the_sdk(tmp_path: Path, database: dict[str, Any]) -> None:
    store = make_store(tmp_path, ALL_TYPES, database)
    reader = open_store(f"feast:///{write_config(tmp_path, database)}").open_reader(
        timeout_sec=PATIENCE_SEC
    )
    draw = random.Random(5)  # noqa: S311 - test data
    compared = asyncio.run(compare_with_sdk(store, reader, draw, N_CELLS, tells_missing=True))
    close(store)
    assert compared.n_null > N_CELLS / 10
    assert compared.n_missing > N_CELLS / 10


def test_unknown_null_and_repeated_keys_are_told_apart(
    tmp_path: Path, gates: FeatureStore, database: dict[str, Any]
) -> None:
    stored = read(write_config(tmp_path, database), [1, 7, None, 2, 1])
    event_us = EVENT_US + 123_457
    assert stored.event_us[:, 0].tolist() == [event_us, NEVER_US, NEVER_US, event_us, event_us]
    rows: list[RequestRow] = [(1,), (7,), (None,), (2,), (1,)]
    matrix = PLAN.assemble(rows, stored, event_us)
    present, null, missing = FeatureStatus.PRESENT, FeatureStatus.NULL, FeatureStatus.MISSING
    assert matrix.status[:, 0].tolist() == [present, missing, missing, null, present]
    np.testing.assert_array_equal(matrix.values[:, 0], [2.5, np.nan, np.nan, np.nan, 2.5])
    np.testing.assert_array_equal(matrix.values[:, 1], [1, np.nan, np.nan, np.nan, 1])


@pytest.mark.parametrize(("late_us", "status"), [(0, "PRESENT"), (1, "STALE")])
def test_a_time_to_live_ends_at_its_microsecond(
    tmp_path: Path, gates: FeatureStore, database: dict[str, Any], late_us: int, status: str
) -> None:
    stored = read(write_config(tmp_path, database), [1])
    now_us = EVENT_US + 123_457 + HOUR_US + late_us
    assert PLAN.assemble([(1,)], stored, now_us).status[0, 0] == FeatureStatus[status]


def test_reads_at_the_same_time_do_not_mix(
    tmp_path: Path, gates: FeatureStore, database: dict[str, Any]
) -> None:
    rows = [{"gate_number": n, "walk": float(n), "name": str(n)} for n in range(10, 74)]
    write_rows(gates, "gate", rows)
    config = write_config(tmp_path, database)

    async def read_all() -> list[StoredFeatures]:
        reader = FeastFeatureReader(load_config(config), timeout_sec=PATIENCE_SEC)
        keys = [PLAN.serialize_keys([(number,)]) for number in range(10, 74)]
        answers = await asyncio.gather(*(reader.read(PLAN.layout, key) for key in keys * 4))
        await reader.close()
        return list(answers)

    for row, answer in zip(rows * 4, asyncio.run(read_all()), strict=True):
        # The name goes with the key: no cell is of another read.
        assert PLAN.stored_value(0, answer.cells[0][0]) == row["walk"]
        assert PLAN.stored_value(1, answer.cells[0][1]) == row["name"]


def test_a_view_without_a_table_is_named(tmp_path: Path, database: dict[str, Any]) -> None:
    config = write_config(tmp_path, database)

    async def check() -> None:
        reader = FeastFeatureReader(load_config(config), timeout_sec=PATIENCE_SEC)
        try:
            await reader.check(PLAN.layout)
        finally:
            await reader.close()

    with pytest.raises(OnlineStoreUnavailableError, match="for feature view 'gate'"):
        asyncio.run(check())


def test_the_table_of_a_version_of_a_view_is_read(
    tmp_path: Path, gates: FeatureStore, database: dict[str, Any]
) -> None:
    with psycopg.connect(host="127.0.0.1", user="postgres", dbname=database["database"]) as sql:
        sql.execute("ALTER TABLE trial_gate RENAME TO trial_gate_v2")
    view = view_plan("gate", dict(GATE.keys), dict(GATE.features))
    plan = FeaturePlan(
        project="trial",
        feature_service="gate_v2",
        views=(view.model_copy(update={"table": "trial_gate_v2"}),),
        columns=(Column(name="walk", view="gate", feature="walk"),),
    )
    compiled = ReadPlan(FIELDS, plan)

    async def ask() -> StoredFeatures:
        reader = FeastFeatureReader(
            load_config(write_config(tmp_path, database)), timeout_sec=PATIENCE_SEC
        )
        await reader.check(compiled.layout)
        stored = await reader.read(compiled.layout, compiled.serialize_keys([(1,)]))
        await reader.close()
        return stored

    stored = asyncio.run(ask())
    assert compiled.assemble([(1,)], stored, EVENT_US + HOUR_US).values[0, 0] == 2.5


def test_a_model_of_another_project_is_refused(tmp_path: Path, database: dict[str, Any]) -> None:
    config = write_config(tmp_path, database, project="other")
    with pytest.raises(OnlineStoreUnavailableError, match="'trial', but expected one of 'other'"):
        read(config, [1])


def test_a_store_that_refuses_connections_is_unavailable(
    tmp_path: Path, database: dict[str, Any]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        config = write_config(tmp_path, database | {"port": unused.getsockname()[1]})
        with pytest.raises(OnlineStoreUnavailableError) as raised:
            read(config, [1])
    assert "127.0.0.1" not in str(raised.value)


def test_a_store_that_never_answers_holds_no_read_for_longer_than_its_timeout(
    tmp_path: Path, database: dict[str, Any]
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(128)
        config = write_config(tmp_path, database | {"port": silent.getsockname()[1]})

        async def ask() -> None:
            reader = FeastFeatureReader(load_config(config), timeout_sec=0.1)
            keys = PLAN.serialize_keys([(1,)])
            for _ in range(3):
                reads = [reader.read(PLAN.layout, keys) for _ in range(16)]
                answers = asyncio.gather(*reads, return_exceptions=True)
                assert await is_done_by(answers, 0.5)
                assert {type(answer) for answer in await answers} == {OnlineStoreUnavailableError}
            await reader.close()

        asyncio.run(ask())
    wait_until(lambda: all(one.name != "online-store" for one in threading.enumerate()))


def test_reads_recover_while_earlier_ones_are_still_stuck(
    tmp_path: Path, gates: FeatureStore, database: dict[str, Any]
) -> None:
    async def read_through_a_silence() -> list[StoredFeatures]:
        async with FaultProxy(database["port"]) as proxy:
            config = write_config(tmp_path, database | {"port": proxy.port})
            reader = FeastFeatureReader(load_config(config), timeout_sec=1.0)
            keys = PLAN.serialize_keys([(1,)])
            proxy.fault = Fault.BLACK_HOLE
            reads = [reader.read(PLAN.layout, keys) for _ in range(12)]
            answers = await asyncio.gather(*reads, return_exceptions=True)
            assert {type(answer) for answer in answers} == {OnlineStoreUnavailableError}
            proxy.fault = Fault.NONE
            # What went into the black hole is lost, so the threads that wait for it stay stuck.
            recovered = [await reader.read(PLAN.layout, keys) for _ in range(8)]
            await reader.close()
            return recovered

    for stored in asyncio.run(read_through_a_silence()):
        assert PLAN.stored_value(0, stored.cells[0][0]) == 2.5


def test_reads_go_on_after_the_server_dropped_all_connections(
    tmp_path: Path, gates: FeatureStore, database: dict[str, Any]
) -> None:
    name = database["database"]

    async def read_around_a_restart() -> list[StoredFeatures]:
        reader = FeastFeatureReader(
            load_config(write_config(tmp_path, database)), timeout_sec=PATIENCE_SEC
        )
        keys = PLAN.serialize_keys([(1,)])
        before = await asyncio.gather(*(reader.read(PLAN.layout, keys) for _ in range(8)))
        with psycopg.connect(host="127.0.0.1", user="postgres", dbname="postgres") as server:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
        after = await asyncio.gather(*(reader.read(PLAN.layout, keys) for _ in range(8)))
        await reader.close()
        return [*before, *after]

    first, *others = asyncio.run(read_around_a_restart())
    assert None not in first.cells[0]
    for stored in others:
        assert stored.cells == first.cells


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"online_store": {"type": "postgres", "password": "sesame"}}, "an online_store in"),
        ({"online_store": {"type": "nonsense"}}, "an online_store in"),
        ({"entity_key_serialization_version": 2}, "entity_key_serialization_version 2"),
        ({"online_store": None}, "an online_store in"),
        ({"project": ["a"]}, "an online_store in"),
    ],
)
def test_a_bad_configuration_is_refused_at_the_start(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    path = write_config(tmp_path, **{"online_store": {"type": "sqlite"}, **changes})
    with pytest.raises(ValueError, match=expected) as raised:
        open_store(f"feast:///{path}").open_reader(timeout_sec=None)
    assert "sesame" not in str(raised.value)
    assert str(tmp_path) not in str(raised.value)


@pytest.mark.parametrize("content", [None, "", "[]", "online_store: {", b"\xff\xfe"])
def test_what_is_no_configuration_is_refused_at_the_start(
    tmp_path: Path, content: str | bytes | None
) -> None:
    path = tmp_path / "feature_store.yaml"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=r"Got no feature_store\.yaml"):
        open_store(f"feast:///{path}").open_reader(timeout_sec=None)


def test_without_feast_the_start_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "feast.py").write_text("raise ImportError('not here')\n")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from zeroskew.online.schemes import open_store\n"
        "open_store('feast:///feature_store.yaml').open_reader(timeout_sec=None)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install 'zeroskew[feast-store]'" in done.stderr
