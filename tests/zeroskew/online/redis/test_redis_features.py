"""The Redis reader against servers of its own, and against Feast's writes."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import uvloop
from feast import RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from tests.support.online_stores import ViewSpec, make_store
from tests.support.redis_rows import (
    LAYOUT,
    PROJECT,
    assert_answers,
    event_us_of,
    feature_field,
    keys_of,
    time_field,
    write_entities,
)
from tests.support.redis_servers import RedisServer, make_certificate
from zeroskew.contract.errors.service import (
    OnlineStoreUnavailableError,
    OnlineValueError,
    ServiceError,
)
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.online.reader import (
    EntityKeys,
    EntityLookup,
    OnlineFeatureReader,
    ReadLayout,
    StoredFeatures,
    StoredView,
)
from zeroskew.online.schemes import open_store

Runner: TypeAlias = Callable[[Any], Any]
KEYS = (b"one", b"two", b"three")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(autouse=True)
def _written(server: RedisServer) -> None:
    with server.client() as client:
        client.flushall()
        write_entities(client, *KEYS)


async def read_once(
    url: str, keys: list[list[bytes | None]], layout: ReadLayout = LAYOUT
) -> StoredFeatures:
    # Generous, because these tests are about what is read, on a machine that may be busy.
    reader = open_store(url).open_reader(timeout_sec=1.0)
    try:
        return await reader.read(layout, keys)
    finally:
        await reader.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_rows_come_in_their_order_with_their_event_times(server: RedisServer, run: Runner) -> None:
    answer = run(read_once(server.url, keys_of(*reversed(KEYS))))
    assert_answers(answer, *reversed(KEYS))
    expected = np.repeat([[event_us_of(2)], [event_us_of(1)], [event_us_of(0)]], 6, axis=1)
    np.testing.assert_array_equal(answer.event_us, expected)
    assert answer.event_us.dtype == np.int64


def test_one_row(server: RedisServer) -> None:
    answer = asyncio.run(read_once(server.url, keys_of(b"two")))
    assert_answers(answer, b"two")
    assert answer.event_us.tolist() == [[event_us_of(1)] * 6]


@pytest.mark.parametrize("n_rows", [1, 3])
def test_null_and_unknown_keys_have_nothing(server: RedisServer, n_rows: int) -> None:
    for key in (None, b"unknown"):
        keys = keys_of(*[b"one"] * n_rows)
        keys[1][-1] = key
        answer = asyncio.run(read_once(server.url, keys))
        assert answer.cells[-1][3:] == [None] * 3
        assert answer.event_us[-1].tolist() == [event_us_of(0)] * 3 + [NEVER_US] * 3
        assert None not in answer.cells[-1][:3]


def test_all_keys_null_ask_nothing(server: RedisServer) -> None:
    answer = asyncio.run(read_once(server.url, keys_of(None, None)))
    assert answer.cells == [[None] * 6] * 2
    assert (answer.event_us == NEVER_US).all()


def test_no_rows(server: RedisServer) -> None:
    answer = asyncio.run(read_once(server.url, [[], []]))
    assert answer.cells == []
    assert answer.event_us.shape == (0, 6)


def test_a_key_that_stands_twice_is_read_once(server: RedisServer) -> None:
    with server.client() as client:
        before = client.info("commandstats")["cmdstat_hmget"]["calls"] if _has_hmget(client) else 0
        keys = (b"one", b"two", b"one", None, b"one")
        answer = asyncio.run(read_once(server.url, keys_of(*keys)))
        assert client.info("commandstats")["cmdstat_hmget"]["calls"] - before == 4
    alone = asyncio.run(read_once(server.url, keys_of(*(key for key in keys if key))))
    assert_answers(alone, *(key for key in keys if key))
    assert answer.cells == [*alone.cells[:3], [None] * 6, alone.cells[3]]
    assert answer.event_us[3].tolist() == [NEVER_US] * 6


def _has_hmget(client: Any) -> bool:
    return "cmdstat_hmget" in client.info("commandstats")


def test_missing_fields_of_a_live_row_are_null(server: RedisServer) -> None:
    with server.client() as client:
        client.hdel(b"1:one" + PROJECT.encode(), feature_field(LAYOUT.views[2], "share"))
    answer = asyncio.run(read_once(server.url, keys_of(b"one")))
    assert answer.cells[0][4] is None
    assert answer.event_us[0, 4] == event_us_of(0)


@pytest.mark.parametrize("n_rows", [1, 2])
def test_a_value_without_an_event_time_is_refused(server: RedisServer, n_rows: int) -> None:
    with server.client() as client:
        client.hdel(b"0:one" + PROJECT.encode(), time_field(LAYOUT.views[1]))
    with pytest.raises(OnlineValueError, match="without an event time"):
        asyncio.run(read_once(server.url, keys_of(*KEYS[:n_rows])))


@pytest.mark.parametrize("n_rows", [1, 2])
def test_a_damaged_event_time_is_refused(server: RedisServer, n_rows: int) -> None:
    with server.client() as client:
        client.hset(b"0:one" + PROJECT.encode(), time_field(LAYOUT.views[1]), b"today")
    with pytest.raises(OnlineValueError, match="Got an event time"):
        asyncio.run(read_once(server.url, keys_of(*KEYS[:n_rows])))


def test_an_entity_that_is_not_a_hash_fails_its_own_read_only(server: RedisServer) -> None:
    with server.client() as client:
        client.set(b"0:text" + PROJECT.encode(), b"text")

    async def read_both() -> None:
        reader = open_store(server.url).open_reader(timeout_sec=1.0)
        wrong = reader.read(LAYOUT, keys_of(b"text", b"one"))
        refusal, right = await asyncio.gather(
            wrong, reader.read(LAYOUT, keys_of(b"two")), return_exceptions=True
        )
        assert isinstance(refusal, OnlineValueError)
        assert str(refusal) == (
            "Got an entity in the online store that is not a hash, but expected what Feast writes."
        )
        assert isinstance(right, StoredFeatures)
        assert_answers(right, b"two")
        await reader.close()

    asyncio.run(read_both())


def test_many_rows_and_reads_at_once(server: RedisServer) -> None:
    keys = tuple(b"key-%d" % number for number in range(1000))
    with server.client() as client:
        write_entities(client, *keys)

    async def read_many() -> None:
        reader = open_store(server.url).open_reader(timeout_sec=5.0)
        batch = reader.read(LAYOUT, keys_of(*keys))
        singles = [reader.read(LAYOUT, keys_of(key)) for key in keys[:500]]
        first, *others = await asyncio.gather(batch, *singles)
        assert_answers(first, *keys)
        for key, answer in zip(keys, others, strict=False):
            assert_answers(answer, key)
        await reader.close()

    asyncio.run(read_many())


def test_a_reader_works_in_one_event_loop_after_another(server: RedisServer) -> None:
    reader = open_store(server.url).open_reader(timeout_sec=1.0)

    async def read_and_close() -> None:
        assert_answers(await reader.read(LAYOUT, keys_of(b"one")), b"one")
        await reader.close()

    asyncio.run(read_and_close())
    uvloop.run(read_and_close())


def test_a_closed_reader_fails(server: RedisServer) -> None:
    async def read_closed() -> None:
        reader = open_store(server.url).open_reader(timeout_sec=1.0)
        await reader.check(LAYOUT)
        await reader.close()
        with pytest.raises(OnlineStoreUnavailableError, match="closed"):
            await reader.read(LAYOUT, keys_of(b"one"))

    asyncio.run(read_closed())


# --- against Feast --------------------------------------------------------------------------

VIEW = ViewSpec("stats", {"origin": "STRING", "dest": "STRING"}, {"n": "INT64", "share": "FLOAT"})


def test_feasts_own_writes_are_read_as_feast_reads_them(
    server: RedisServer, tmp_path: Path
) -> None:
    view = make_store(tmp_path, [VIEW]).get_feature_view("stats")
    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry=str(tmp_path / "registry.db"),
        online_store={"type": "redis", "connection_string": f"127.0.0.1:{server.port}"},
        entity_key_serialization_version=3,
    )
    entities = [
        EntityKey(join_keys=["dest", "origin"], entity_values=[_text(dest), _text("EWR")])
        for dest in ("IAH", "é\n", "")
    ]
    times = [datetime(2013, 10, 1, 12, 0, 0, 123_456 * i, tzinfo=UTC) for i in range(3)]
    rows = [{"n": Value(int64_val=2**60), "share": Value(float_val=0.1)}, {"n": Value()}, {}]
    store = RedisOnlineStore()
    batch = [(e, r, t, None) for e, r, t in zip(entities, rows, times, strict=True)]
    store.online_write_batch(config, view, batch, None)
    expected = store.online_read(config, view, entities, ["n", "share"])
    keys = [serialize_entity_key(entity, entity_key_serialization_version=3) for entity in entities]
    stored = StoredView("stats", f"{PROJECT}_stats", ("n", "share"))
    layout = ReadLayout(PROJECT, (EntityLookup((stored,)),))
    answer = asyncio.run(read_once(server.url, [keys], layout))
    for cells, event_us, (time, values), written in zip(
        answer.cells, answer.event_us.tolist(), expected, times, strict=True
    ):
        got = {n: Value.FromString(c or b"") for n, c in zip(("n", "share"), cells, strict=True)}
        assert got == values
        assert event_us == [round(written.timestamp() * 1e6)] * 2
        assert abs(time.timestamp() * 1e6 - event_us[0]) <= 1
    store._client.close()


def _text(text: str) -> Value:
    return Value(string_val=text)


# --- ways in --------------------------------------------------------------------------------


def test_a_unix_socket_and_a_database(server: RedisServer) -> None:
    with server.client(db=3) as client:
        write_entities(client, b"deep")
    for url in (f"unix://{server.socket_path}?db=3", f"{server.url}/3"):
        assert_answers(asyncio.run(read_once(url, keys_of(b"deep"))), b"deep")
    assert asyncio.run(read_once(server.url, keys_of(b"deep"))).cells == [[None] * 6]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_tls_is_verified(tmp_path: Path, run: Runner) -> None:
    certificate, key = make_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    other, _ = make_certificate(tmp_path / "other")
    options = ["--tls-port", "0", "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    options += ["--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "yes"]
    with RedisServer(tmp_path) as plain:
        port = plain.port
    options[1] = str(port)
    with RedisServer(tmp_path, *options) as server:
        with server.client() as client:
            write_entities(client, b"one")
        url = f"rediss://127.0.0.1:{port}?ssl_certfile={certificate}&ssl_keyfile={key}"
        trusted = f"{url}&ssl_ca_certs={certificate}"
        assert_answers(run(read_once(trusted, keys_of(b"one"))), b"one")
        assert_answers(run(read_once(f"{url}&ssl_cert_reqs=none", keys_of(b"one"))), b"one")
        for untrusted in (url, f"{url}&ssl_ca_certs={other}"):
            with pytest.raises(OnlineStoreUnavailableError, match="cannot be reached"):
                run(read_once(untrusted, keys_of(b"one")))


def test_passwords_and_users(tmp_path: Path) -> None:
    acl = ["user default on >open ~* +@all", "user reader on >sec@ret %R~*trial +hmget"]
    (tmp_path / "users.acl").write_text("\n".join(acl) + "\n")
    with RedisServer(tmp_path, "--aclfile", str(tmp_path / "users.acl")) as server:
        with server.client(password="open") as client:  # noqa: S106 - made up
            write_entities(client, b"one")
        host = f"127.0.0.1:{server.port}"
        for credentials in (":open", "default:open", "reader:sec%40ret"):
            answer = asyncio.run(read_once(f"redis://{credentials}@{host}", keys_of(b"one")))
            assert_answers(answer, b"one")
        for credentials in ("", ":wrong@", "reader:wrong@"):
            with pytest.raises(OnlineStoreUnavailableError, match="user or password"):
                asyncio.run(read_once(f"redis://{credentials}{host}", keys_of(b"one")))
        with pytest.raises(OnlineStoreUnavailableError, match="does not let the service's user"):
            asyncio.run(_check(f"redis://reader:sec%40ret@{host}", "else"))
        asyncio.run(_check(f"redis://reader:sec%40ret@{host}", PROJECT))


async def _check(url: str, project: str) -> None:
    reader = open_store(url).open_reader(timeout_sec=1.0)
    try:
        await reader.check(ReadLayout(project, LAYOUT.lookups))
    finally:
        await reader.close()


def test_a_password_where_none_is_set_is_refused(server: RedisServer) -> None:
    url = server.url.replace("//", "//:some@")
    with pytest.raises(ServiceError, match="user or password"):
        asyncio.run(read_once(url, keys_of(b"one")))


def test_sqlite_needs_no_redis_module() -> None:
    program = (
        "import sys, api.main; from zeroskew.online.schemes import open_store;"
        "open_store('sqlite:///x').open_reader(timeout_sec=None);"
        "assert 'hiredis' not in sys.modules;"
        "open_store('redis://h').open_reader(timeout_sec=None); assert 'redis' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[4])


def test_readers_satisfy_the_protocol() -> None:
    reader: OnlineFeatureReader = open_store("redis://h").open_reader(timeout_sec=None)
    keys: EntityKeys = [None]
    assert asyncio.run(reader.read(LAYOUT, [keys, keys])).cells == [[None] * 6]
