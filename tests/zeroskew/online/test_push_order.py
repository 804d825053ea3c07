"""Which of two writes stands: with Feast's own stores, and with those of this project."""

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from feast.protos.feast.types.Value_pb2 import Value

from tests.support.manifests import view_plan
from tests.support.online_stores import (
    EVENT_TIME,
    NEWEST_STORES,
    Online,
    ProtoRow,
    ViewSpec,
    make_store,
    open_online,
    write_protos,
    write_rows,
)
from zeroskew.contract.manifest import FeaturePlan, FieldType, RequestField, RequestInput
from zeroskew.features.online_store.newest_sqlite import NewestSqliteOnlineStore
from zeroskew.model.plan.read_plan import ReadPlan
from zeroskew.online.schemes import open_store

GATE = ViewSpec("gate", {"gate_number": "INT32"}, {"walk": "INT64", "width": "INT64"})
FIELDS = (RequestField(name="gate_number", type=FieldType.INTEGER, description="", example=1),)
PLAN = ReadPlan(
    FIELDS,
    FeaturePlan(
        project="trial",
        feature_service="gate_v1",
        views=(view_plan("gate", dict(GATE.keys), dict(GATE.features), ttl_us=None),),
        columns=(),
        request_inputs=(
            RequestInput(name="walk", view="gate", feature="walk"),
            RequestInput(name="width", view="gate", feature="width"),
        ),
    ),
)
SECOND = timedelta(seconds=1)
HALF = timedelta(milliseconds=500)


@pytest.fixture(params=["sqlite", "redis"])
def online(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Online]:
    with open_online(request.param, tmp_path / "online") as opened:
        yield opened


def feast_store(folder: Path, online: Online) -> FeatureStore:
    return make_store(folder, [GATE], online.config)


def newest_store(folder: Path, online: Online) -> FeatureStore:
    return make_store(
        folder, [GATE], online.config | {"type": NEWEST_STORES[online.config["type"]]}
    )


def write(store: FeatureStore, value: int, event_time: datetime, *, key: int = 1) -> None:
    row = {"gate_number": key, "walk": value, "width": -value}
    write_rows(store, "gate", [row], event_time=event_time)


def read(online: Online, *keys: int) -> list[int]:
    """Return the value that the service reads for each key, after a look at both features."""

    async def ask() -> list[int]:
        reader = open_store(online.url).open_reader(timeout_sec=5)
        rows: list[tuple[int]] = [(key,) for key in keys]
        stored = await reader.read(PLAN.layout, PLAN.serialize_keys(rows))
        await reader.close()
        values = []
        for walk, width in stored.cells:
            value, negative = PLAN.stored_value(0, walk), PLAN.stored_value(1, width)
            assert isinstance(value, int)
            assert negative == -value
            values.append(value)
        return values

    return asyncio.run(ask())


def read_with_feast(store: FeatureStore, key: int = 1) -> Any:
    answer = store.get_online_features(features=["gate:walk"], entity_rows=[{"gate_number": key}])
    return answer.to_dict()["walk"][0]


@pytest.mark.parametrize(
    ("later_by", "stands"),
    [
        (SECOND, "second"),
        (timedelta(microseconds=1), "second"),
        (timedelta(0), "second"),
        (timedelta(microseconds=-1), "first"),
        (-HALF, "first"),
        (-SECOND, "first"),
        (timedelta(days=-400), "first"),
    ],
)
def test_the_newest_row_stands_whichever_comes_last(
    tmp_path: Path, online: Online, later_by: timedelta, stands: str
) -> None:
    store = newest_store(tmp_path, online)
    first = EVENT_TIME + HALF
    write(store, 1, first)
    write(store, 2, first + later_by)
    assert read(online, 1) == [1 if stands == "first" else 2]
    # A client with Feast's own store reads the same.
    assert read_with_feast(feast_store(tmp_path / "feast", online)) == read(online, 1)[0]


def test_the_newest_row_of_a_batch_stands(tmp_path: Path, online: Online) -> None:
    store = newest_store(tmp_path, online)
    rows = [
        {"gate_number": key, "walk": value, "width": -value, "event_timestamp": EVENT_TIME + later}
        for key, value, later in [
            (1, 10, SECOND),
            (1, 11, 0 * SECOND),
            (2, 20, 0 * SECOND),
            (2, 21, 0 * SECOND),
            (3, 30, -SECOND),
            (3, 31, SECOND),
        ]
    ]
    write_rows(store, "gate", rows)
    assert read(online, 1, 2, 3) == [10, 21, 31]


@pytest.mark.parametrize(
    ("kind", "options", "older", "equal"),
    [
        ("sqlite", {}, 2, 3),
        ("redis", {}, 1, 1),
        ("redis", {"skip_dedup": True}, 2, 3),
    ],
)
def test_what_feasts_own_stores_do(
    tmp_path: Path, kind: str, options: dict[str, Any], older: int, equal: int
) -> None:
    with open_online(kind, tmp_path / "online") as online:
        store = make_store(tmp_path, [GATE], online.config | options)
        write(store, 1, EVENT_TIME)
        write(store, 2, EVENT_TIME - SECOND)
        assert read(online, 1) == [older]
        write(store, 3, EVENT_TIME)
        assert read(online, 1) == [equal]


def test_a_store_that_keeps_the_newest_refuses_to_skip_the_comparison(tmp_path: Path) -> None:
    with (
        open_online("redis", tmp_path / "online") as online,
        pytest.raises(ValueError, match="skip"),
    ):
        newest_store(tmp_path, Online(online.config | {"skip_dedup": True}, online.url))


def test_a_row_of_feasts_own_store_is_not_replaced_by_an_older_one(
    tmp_path: Path, online: Online
) -> None:
    ours, feasts = newest_store(tmp_path / "ours", online), feast_store(tmp_path, online)
    write(ours, 1, EVENT_TIME)
    write(feasts, 2, EVENT_TIME + SECOND)
    write(ours, 3, EVENT_TIME)
    assert read(online, 1) == [2]
    write(ours, 4, EVENT_TIME + 2 * SECOND)
    assert read(online, 1) == [4]


def test_a_view_that_is_dropped_and_applied_again_begins_anew(tmp_path: Path) -> None:
    with open_online("sqlite", tmp_path / "online") as online:
        store = newest_store(tmp_path, online)
        write(store, 1, EVENT_TIME)
        view = store.get_feature_view("gate")
        store.apply([], objects_to_delete=[view], partial=False)
        assert NewestSqliteOnlineStore().drop_removed_views(store.config, []) == ["trial_gate"]
        connection = sqlite3.connect(online.config["path"])
        assert connection.execute("SELECT * FROM zeroskew_event_times").fetchall() == []
        connection.close()
        write(newest_store(tmp_path, online), 2, EVENT_TIME - SECOND)
        assert read(online, 1) == [2]


N_KEYS = 3
N_WRITES = 150
N_WRITERS = 4


def push_ever_newer_rows(store: FeatureStore, seed: int) -> list[int]:
    """Push rows whose event times rise, unevenly; a value is the second of its event."""
    draw = random.Random(seed)  # noqa: S311 - test data
    seconds = sorted(draw.sample(range(10 * N_WRITES), N_WRITES))
    for second in seconds:
        rows = [
            ProtoRow(
                keys={"gate_number": Value(int32_val=key)},
                values={"walk": Value(int64_val=second), "width": Value(int64_val=-second)},
                event_time=EVENT_TIME + second * SECOND,
            )
            for key in range(N_KEYS)
        ]
        write_protos(store, "gate", rows)
    return seconds


def test_no_reader_sees_time_go_back_while_writers_race(tmp_path: Path, online: Online) -> None:
    stores = [newest_store(tmp_path / str(seed), online) for seed in range(N_WRITERS)]
    write(stores[0], 0, EVENT_TIME - SECOND, key=0)
    seen = [0]
    with ThreadPoolExecutor(len(stores)) as threads:
        writers = [
            threads.submit(push_ever_newer_rows, store, seed) for seed, store in enumerate(stores)
        ]
        while not all(writer.done() for writer in writers):
            seen += read(online, 0)
    newest = max(max(writer.result()) for writer in writers)
    assert seen == sorted(seen)
    assert read(online, *range(N_KEYS)) == [newest] * N_KEYS
    assert len(set(seen)) > 5


def test_what_a_killed_writer_left_half_written_is_taken_back_by_a_reader(tmp_path: Path) -> None:
    path, left = tmp_path / "online.db", tmp_path / "left.db"
    store = make_store(tmp_path, [GATE], {"type": NEWEST_STORES["sqlite"], "path": str(path)})
    write(store, 1, EVENT_TIME)
    with closing(sqlite3.connect(path)) as killed:
        killed.execute("PRAGMA cache_size = 1")
        killed.execute("UPDATE trial_gate SET value = x'00'")
        killed.execute("CREATE TABLE filler AS SELECT zeroblob(100000)")
        # As if its process had ended here: pages are in the file, and how they were beside it.
        shutil.copy(path, left)
        shutil.copy(f"{path}-journal", f"{left}-journal")
        killed.rollback()
    assert read(Online({}, f"sqlite:///{left}"), 1) == [1]
