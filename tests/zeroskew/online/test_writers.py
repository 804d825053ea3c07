"""Rows that the service writes: Feast reads them back, and no older one replaces a newer one."""

import asyncio
import random
import sqlite3
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value as FeastValue

from tests.support.online_stores import (
    EVENT_TIME,
    NEWEST_STORES,
    Online,
    ViewSpec,
    make_store,
    open_online,
    write_rows,
)
from tests.support.redis_servers import RedisServer, free_port, make_cluster, start_sentinel
from zeroskew.contract.errors.service import (
    NotSupportedError,
    OnlineStoreUnavailableError,
    OnlineValueError,
)
from zeroskew.online.lazy_writer import LazyWriter
from zeroskew.online.reader import StoredView
from zeroskew.online.schemes import open_store
from zeroskew.online.values.decode import ValueType
from zeroskew.online.writer import OnlineRow, OnlineWrite, ViewRows

VIEW = ViewSpec("gate", {"gate_number": "INT32"}, {"walk": "INT64", "width": "FLOAT"})
STORED = StoredView(
    name="gate",
    table="trial_gate",
    features=("walk", "width"),
)
KINDS = (ValueType.INT64, ValueType.FLOAT)
NOON_US = int(EVENT_TIME.timestamp()) * 1_000_000


@pytest.fixture(params=["sqlite", "redis"])
def online(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Online]:
    with open_online(request.param, tmp_path / "online") as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path, online: Online) -> FeatureStore:
    return make_store(tmp_path, [VIEW], online.config)


def key_of(gate: int) -> bytes:
    proto = EntityKey(join_keys=["gate_number"], entity_values=[FeastValue(int32_val=gate)])
    return bytes(serialize_entity_key(proto, entity_key_serialization_version=3))


def row(walk: int | None, *, gate: int = 1, us: int = 0) -> OnlineRow:
    """A row whose event is `us` microseconds after noon."""
    width = None if walk is None else -walk / 2
    return OnlineRow(key_of(gate), (walk, width), NOON_US + us)


def write_of(*rows: OnlineRow, view: StoredView = STORED, ttl: int | None = None) -> OnlineWrite:
    return OnlineWrite("trial", (ViewRows(view, KINDS, rows),), ttl)


async def write_all(url: str, writes: Sequence[OnlineWrite]) -> list[list[int]]:
    writer = open_store(url).open_writer(timeout_sec=10)
    try:
        return [await writer.write(write) for write in writes]
    finally:
        await writer.close()


def write(url: str, *rows: OnlineRow) -> int:
    """Write rows of one view and return how many were written."""
    return asyncio.run(write_all(url, [write_of(*rows)]))[0][0]


def read(store: FeatureStore, *gates: int) -> list[Any]:
    """Return what Feast's SDK reads of `walk`, after a look at the other feature."""
    answer = store.get_online_features(
        features=["gate:walk", "gate:width"], entity_rows=[{"gate_number": gate} for gate in gates]
    ).to_dict()
    assert answer["width"] == [None if walk is None else -walk / 2 for walk in answer["walk"]]
    return list(answer["walk"])


def test_feast_reads_what_was_written(store: FeatureStore, online: Online) -> None:
    assert write(online.url, row(7), row(None, gate=2), row(-3, gate=-9)) == 3
    assert read(store, 1, 2, -9, 5) == [7, None, -3, None]


def test_an_event_time_is_kept(store: FeatureStore, online: Online) -> None:
    write(online.url, row(7, us=1_250_000))
    answer = store.get_online_features(features=["gate:walk"], entity_rows=[{"gate_number": 1}])
    walk = list(answer.proto.metadata.feature_names.val).index("walk")
    (told,) = answer.proto.results[walk].event_timestamps
    # Feast's SQLite store has whole seconds.
    kept = 1_000_000 if online.config["type"] == "sqlite" else 1_250_000
    assert told.ToMicroseconds() == NOON_US + kept


@pytest.mark.parametrize(
    ("us", "n_written"), [(-1, 0), (-999_999, 0), (-1_000_000, 0), (0, 1), (1, 1), (10**12, 1)]
)
def test_only_what_is_older_changes_nothing(
    store: FeatureStore, online: Online, us: int, n_written: int
) -> None:
    # The same second for most of them: the microseconds decide.
    assert write(online.url, row(7, us=500_000)) == 1
    assert write(online.url, row(8, us=500_000 + us)) == n_written
    assert read(store, 1) == [8 if n_written else 7]


def test_the_newest_row_of_a_request_stands_and_the_last_of_equals(
    store: FeatureStore, online: Online
) -> None:
    assert write(online.url, row(1, us=5), row(2, us=9), row(3, us=9), row(4, us=2)) == 1
    assert read(store, 1) == [3]


def test_a_repeated_write_changes_nothing(store: FeatureStore, online: Online) -> None:
    rows = [row(gate * 10, gate=gate, us=gate) for gate in range(50)]
    assert write(online.url, *rows) == write(online.url, *rows) == 50
    assert read(store, *range(50)) == [gate * 10 for gate in range(50)]


def test_writes_stand_in_order_beside_feasts_own(store: FeatureStore, online: Online) -> None:
    write_rows(store, "gate", [{"gate_number": 1, "walk": 7, "width": -3.5}])
    assert write(online.url, row(8, us=-1_000_000)) == 0
    assert write(online.url, row(9, us=1_000_000)) == 1
    assert read(store, 1) == [9]


def test_writes_stand_in_order_beside_this_projects_stores(
    tmp_path: Path, store: FeatureStore, online: Online
) -> None:
    kind = NEWEST_STORES[online.config["type"]]
    newest = make_store(tmp_path / "newest", [VIEW], online.config | {"type": kind})
    half = timedelta(microseconds=500_000)
    given = {"gate_number": 1, "walk": 7, "width": -3.5}
    write_rows(newest, "gate", [given], event_time=EVENT_TIME + half)
    assert write(online.url, row(8, us=499_999)) == 0
    assert write(online.url, row(8, us=500_001)) == 1
    write_rows(newest, "gate", [given], event_time=EVENT_TIME + half)
    assert read(store, 1) == [8]


def test_of_many_writers_at_once_the_newest_stands(store: FeatureStore, online: Online) -> None:
    draw = random.Random(4)  # noqa: S311 - test data

    async def race() -> None:
        writers = [open_store(online.url).open_writer(timeout_sec=10) for _ in range(8)]
        for start in range(0, 80, 8):
            # All of them compare with what the round before left; one at most is right to.
            numbers = draw.sample(range(start, start + 8), 8)
            writes = [write_of(row(n, us=n), row(n, gate=2, us=n)) for n in numbers]
            pairs = zip(writers, writes, strict=True)
            await asyncio.gather(*(writer.write(write) for writer, write in pairs))
            assert await asyncio.to_thread(read, store, 1, 2) == [start + 7] * 2
        for writer in writers:
            await writer.close()

    asyncio.run(race())


def test_several_views_are_written_at_once(tmp_path: Path, online: Online) -> None:
    more = ViewSpec("wait", {"gate_number": "INT32"}, VIEW.features)
    store = make_store(tmp_path, [VIEW, more], online.config)
    wait = StoredView(
        name="wait",
        table="trial_wait",
        features=("walk", "width"),
    )
    views = (ViewRows(STORED, KINDS, [row(1)]), ViewRows(wait, KINDS, [row(2), row(3, gate=2)]))
    assert asyncio.run(write_all(online.url, [OnlineWrite("trial", views)])) == [[1, 2]]
    references = ["gate:walk", "wait:walk"]
    rows = [{"gate_number": 1}]
    answer = store.get_online_features(references, rows, full_feature_names=True).to_dict()
    assert (answer["gate__walk"], answer["wait__walk"]) == ([1], [2])


def refused(coroutine: Coroutine[Any, Any, Any]) -> str:
    with pytest.raises(OnlineStoreUnavailableError) as refusal:
        asyncio.run(coroutine)
    return str(refusal.value)


def test_a_view_that_was_never_applied_is_named(store: FeatureStore, tmp_path: Path) -> None:
    nowhere = StoredView("nope", "trial_nope", ("walk", "width"))
    path = make_sqlite(tmp_path)
    both = OnlineWrite(
        "trial", (ViewRows(STORED, KINDS, [row(1)]), ViewRows(nowhere, KINDS, [row(1)]))
    )
    message = refused(write_all(f"sqlite:///{path}", [both]))
    assert message == "The online store has no table for feature view 'nope'; apply it."
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM trial_gate").fetchone() == (0,)
    connection.close()


def make_sqlite(folder: Path) -> Path:
    make_store(folder / "repo", [VIEW], {"type": "sqlite", "path": str(folder / "own.db")})
    return folder / "own.db"


def test_the_number_for_searches_is_written_where_feast_keeps_one(tmp_path: Path) -> None:
    path = make_sqlite(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE trial_gate ADD COLUMN value_num REAL")
    write(f"sqlite:///{path}", row(7))
    with sqlite3.connect(path) as connection:
        found = connection.execute(
            "SELECT feature_name, value_text, value_num FROM trial_gate ORDER BY 1"
        ).fetchall()
    connection.close()
    assert found == [("walk", "7", 7.0), ("width", "-3.5", -3.5)]


@pytest.mark.parametrize("content", [None, b"no database, but text that is long enough" * 9])
def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.db"
    if content is not None:
        path.write_bytes(content)
    message = refused(write_all(f"sqlite:///{path}", [write_of(row(1))]))
    assert message == "The online store cannot be written."
    assert path.exists() is (content is not None)


def test_a_lock_is_waited_for_no_longer_than_told(tmp_path: Path) -> None:
    path = make_sqlite(tmp_path)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    async def trial() -> None:
        await open_store(f"sqlite:///{path}").open_writer(timeout_sec=0.05).write(write_of(row(1)))

    assert refused(trial()) == "The online store is locked by another writer for too long."
    blocker.close()


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_a_redis_that_is_gone_is_refused(scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{free_port()}"
    assert refused(write_all(url, [write_of(row(1))])) == "The online store cannot be reached."


def test_a_redis_that_hangs_is_refused_in_time(tmp_path: Path) -> None:
    async def trial(url: str) -> None:
        writer = open_store(url).open_writer(timeout_sec=0.2)
        try:
            await writer.write(write_of(row(1)))
        finally:
            await writer.close()

    with RedisServer(tmp_path) as server:
        server.call("CLIENT", "PAUSE", "1500", "ALL")
        assert refused(trial(server.url)) in (
            "The online store did not answer in time.",
            "The online store cannot be reached.",
        )


@pytest.mark.parametrize(
    ("rights", "message"),
    [
        ("+@read +ping +client", "The online store does not let the service write."),
        ("+@all -hset", "The online store refused the write."),
    ],
)
def test_a_user_that_may_not_write_is_refused(tmp_path: Path, rights: str, message: str) -> None:
    with RedisServer(tmp_path) as server:
        server.call("ACL", "SETUSER", "reader", "on", ">pw", "~*", *rights.split())
        url = server.url.replace("redis://", "redis://reader:pw@")
        assert refused(write_all(url, [write_of(row(1))])) == message
        message = "The online store refuses the service's user or password."
        assert refused(write_all(url.replace("pw", "no"), [write_of(row(1))])) == message


def test_what_is_no_entity_of_feast_is_not_overwritten(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        server.call("SET", key_of(1) + b"trial", "text")
        server.call("HSET", key_of(2) + b"trial", "_ts:gate", b"damaged")
        for gate in (1, 2):
            with pytest.raises(OnlineValueError):
                asyncio.run(write_all(server.url, [write_of(row(1, gate=gate))]))
        assert server.call("GET", key_of(1) + b"trial") == b"text"
        assert server.call("HGET", key_of(2) + b"trial", "_ts:gate") == b"damaged"


def test_an_entity_lives_as_long_as_the_project_says(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        asyncio.run(write_all(server.url, [write_of(row(1), ttl=500), write_of(row(1, gate=2))]))
        lives = [server.call("TTL", key_of(gate) + b"trial") for gate in (1, 2)]
        assert 0 < lives[0] <= 500
        assert lives[1] == -1


def test_a_unix_socket_a_cluster_and_sentinels_are_written_too(tmp_path: Path) -> None:
    with ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
        nodes = [
            stack.enter_context(RedisServer(tmp_path / str(number), *options))
            for number in range(3)
        ]
        make_cluster(nodes)
        main = stack.enter_context(RedisServer(tmp_path / "main"))
        sentinel = stack.enter_context(start_sentinel(tmp_path / "sentinel", main, "main"))
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        for url, config in (
            (f"unix://{main.socket_path}", {"connection_string": f"127.0.0.1:{main.port}"}),
            (
                f"redis+sentinel://127.0.0.1:{sentinel.port}/main?db=1",
                {"connection_string": f"127.0.0.1:{main.port},db=1"},
            ),
            (
                f"redis+cluster://{hosts}",
                {"connection_string": hosts, "redis_type": "redis_cluster"},
            ),
        ):
            folder = tmp_path / url.partition(":")[0]
            store = make_store(folder, [VIEW], {"type": "redis", **config})
            later = len(folder.name)
            rows = [row(gate, gate=gate, us=later) for gate in range(30)]
            assert write(url, *rows) == 30
            assert write(url, row(99, gate=3, us=later - 1)) == 0
            assert read(store, *range(30)) == list(range(30))


def test_a_store_behind_feasts_sdk_is_not_written(tmp_path: Path) -> None:
    config = tmp_path / "feature_store.yaml"
    config.write_text("project: trial\nonline_store:\n  type: sqlite\n")
    url = f"feast:///{config}"

    async def trial() -> None:
        await LazyWriter(lambda: open_store(url).open_writer(timeout_sec=1)).write(write_of(row(1)))

    with pytest.raises(NotSupportedError, match="writes Redis and SQLite"):
        asyncio.run(trial())


def test_a_writer_that_never_wrote_was_never_opened() -> None:
    async def trial() -> None:
        await LazyWriter(lambda: open_store("nonsense").open_writer(timeout_sec=1)).close()

    asyncio.run(trial())
