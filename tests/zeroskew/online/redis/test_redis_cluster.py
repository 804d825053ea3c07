"""Cluster and Sentinel: the same answers, a moved slot, a failover, and a node that is gone."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import redis
import uvloop
from redis.crc import key_slot

from tests.support.redis_rows import LAYOUT, PROJECT, assert_answers, keys_of, write_entities
from tests.support.redis_servers import RedisServer, make_cluster, start_sentinel
from tests.support.waiting import PATIENCE_SEC, is_done_by, wait_until
from zeroskew.contract.errors.service import OnlineStoreUnavailableError, OnlineValueError
from zeroskew.online.reader import OnlineFeatureReader
from zeroskew.online.schemes import open_store

Runner: TypeAlias = Callable[[Any], Any]
KEYS = tuple(b"key-%d" % number for number in range(60))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    folder = tmp_path_factory.mktemp("cluster")
    servers = [
        RedisServer(folder / str(i), "--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
        for i in range(3)
    ]
    try:
        for server in servers:
            server.start()
        make_cluster(servers)
        write_to_cluster(servers)
        yield servers
    finally:
        for server in servers:
            server.stop()


def write_to_cluster(servers: list[RedisServer]) -> None:
    with redis.RedisCluster(host="127.0.0.1", port=servers[0].port) as client:
        write_entities(client, *KEYS)


def url_of(nodes: list[RedisServer]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


async def read_until_right(reader: OnlineFeatureReader, *keys: bytes) -> None:
    """Read until it works."""
    async with asyncio.timeout(PATIENCE_SEC):
        while True:
            try:
                answer = await reader.read(LAYOUT, keys_of(*keys))
            except OnlineStoreUnavailableError:
                await asyncio.sleep(0.02)
            else:
                break
    assert_answers(answer, *keys)


async def check_until(reader: OnlineFeatureReader, message: str) -> None:
    """Check until it is refused with a message: a sentinel on a busy machine may be late first."""
    async with asyncio.timeout(PATIENCE_SEC):
        while True:
            with pytest.raises(OnlineStoreUnavailableError) as refused:
                await reader.check(LAYOUT)
            if message in str(refused.value):
                return


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_cluster_answers_from_all_its_nodes(nodes: list[RedisServer], run: Runner) -> None:
    async def trial() -> None:
        reader = open_store(url_of(nodes)).open_reader(timeout_sec=PATIENCE_SEC)
        await reader.check(LAYOUT)
        for keys in (KEYS, KEYS[:1], (b"key-7", b"key-3", b"key-7")):
            assert_answers(await reader.read(LAYOUT, keys_of(*keys)), *keys)
        absent = await reader.read(LAYOUT, keys_of(b"unknown", None))
        assert absent.cells == [[None] * 6] * 2
        reads = [reader.read(LAYOUT, keys_of(key)) for key in KEYS * 5]
        for key, answer in zip(KEYS * 5, await asyncio.gather(*reads), strict=True):
            assert_answers(answer, key)
        await reader.close()
        with pytest.raises(OnlineStoreUnavailableError):
            await reader.read(LAYOUT, keys_of(b"key-1"))

    run(trial())


def test_a_slot_that_moves_is_followed(nodes: list[RedisServer]) -> None:
    slot = key_slot(b"0:key-0" + PROJECT.encode())

    async def read_some(reader: OnlineFeatureReader) -> None:
        for _ in range(5):
            assert_answers(await reader.read(LAYOUT, keys_of(*KEYS)), *KEYS)

    async def trial() -> None:
        reader = open_store(url_of(nodes)).open_reader(timeout_sec=PATIENCE_SEC)
        await read_until_right(reader, *KEYS)
        target = await asyncio.to_thread(begin_move, nodes, slot)
        await read_some(reader)
        await asyncio.to_thread(finish_move, nodes, slot, target)
        await read_some(reader)
        await reader.close()

    asyncio.run(trial())


def begin_move(nodes: list[RedisServer], slot: int) -> int:
    """Move a slot's keys to another node, and leave the slot in between; return the node."""
    ids = [node.call("CLUSTER MYID") for node in nodes]
    counts = [node.call("CLUSTER COUNTKEYSINSLOT", slot) for node in nodes]
    source = counts.index(max(counts))
    target = (source + 1) % len(nodes)
    nodes[target].call("CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
    nodes[source].call("CLUSTER SETSLOT", slot, "MIGRATING", ids[target])
    keys = nodes[source].call("CLUSTER GETKEYSINSLOT", slot, 100)
    assert keys
    place = ("127.0.0.1", nodes[target].port, "", 0, 1000)
    nodes[source].call("MIGRATE", *place, "KEYS", *keys)
    return target


def finish_move(nodes: list[RedisServer], slot: int, target: int) -> None:
    """Tell all nodes that a slot has moved."""
    owner = nodes[target].call("CLUSTER MYID")
    for node in (nodes[target], *nodes):
        node.call("CLUSTER SETSLOT", slot, "NODE", owner)


def test_a_node_that_is_gone_fails_its_keys_in_time_and_comes_back(
    nodes: list[RedisServer],
) -> None:
    async def trial() -> None:
        reader = open_store(url_of(nodes)).open_reader(timeout_sec=None)
        await read_until_right(reader, *KEYS)
        nodes[0].kill()
        for key in KEYS * 3:
            read = asyncio.create_task(reader.read(LAYOUT, keys_of(key)))
            # Three times its deadline.
            assert await is_done_by(read, 0.15)
            with contextlib.suppress(OnlineStoreUnavailableError):
                assert_answers(await read, key)
        nodes[0].launch()
        # The cluster itself takes a second or two to agree that the node is back.
        await read_until_right(reader, *KEYS)
        await reader.close()

    asyncio.run(trial())


def test_a_cluster_that_nobody_answers_for_fails_in_time() -> None:
    async def trial() -> None:
        reader = open_store("redis+cluster://127.0.0.1:1").open_reader(timeout_sec=None)
        for _ in range(20):
            read = asyncio.create_task(reader.read(LAYOUT, keys_of(b"key-1")))
            assert await is_done_by(read, 0.15)
            with pytest.raises(OnlineStoreUnavailableError):
                await read
        await reader.close()

    asyncio.run(trial())


def test_an_entity_that_is_not_a_hash_is_refused(nodes: list[RedisServer]) -> None:
    with redis.RedisCluster(host="127.0.0.1", port=nodes[0].port) as client:
        client.set(b"0:text" + PROJECT.encode(), b"text")

    async def trial() -> None:
        reader = open_store(url_of(nodes)).open_reader(timeout_sec=PATIENCE_SEC)
        with pytest.raises(OnlineValueError):
            await reader.read(LAYOUT, keys_of(b"text", *KEYS))
        assert_answers(await reader.read(LAYOUT, keys_of(*KEYS)), *KEYS)
        await reader.close()

    asyncio.run(trial())


def test_a_failover_is_followed(tmp_path: Path) -> None:
    async def trial(sentinel: RedisServer, primary: RedisServer, replica: RedisServer) -> None:
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/main"
        reader = open_store(url).open_reader(timeout_sec=5.0)
        await read_until_right(reader, *KEYS)
        with replica.client() as client:
            # Tells the two apart: from here on the answer can only be the replica's.
            client.config_set("replica-read-only", "no")
            client.delete(b"0:key-0" + PROJECT.encode())
        assert_answers(await reader.read(LAYOUT, keys_of(b"key-0")), b"key-0")
        primary.kill()
        await read_until_right(reader, *KEYS[1:])
        answer = await reader.read(LAYOUT, keys_of(b"key-0"))
        assert answer.cells[0][:3] == [None] * 3
        await reader.close()

    primary = RedisServer(tmp_path / "primary")
    options = ("--replicaof", f"127.0.0.1 {primary.port}", "--repl-diskless-sync-delay", "0")
    replica = RedisServer(tmp_path / "replica", *options)
    sentinel = start_sentinel(tmp_path / "sentinel", primary, "main")
    with primary:
        with primary.client() as client:
            client.config_set("repl-diskless-sync-delay", 0)
            write_entities(client, *KEYS)
        with replica, replica.client() as follower:
            wait_until(lambda: follower.dbsize() == 2 * len(KEYS), what="a replica in step")
            with sentinel:
                wait_until(
                    lambda: bool(sentinel.call("SENTINEL REPLICAS", "main")),
                    what="a sentinel that knows the replica",
                )
                uvloop.run(trial(sentinel, primary, replica))


def test_an_unknown_master_fails_in_time(tmp_path: Path) -> None:
    async def trial(port: int) -> None:
        reader = open_store(f"redis+sentinel://127.0.0.1:{port}/other").open_reader(
            timeout_sec=PATIENCE_SEC
        )
        await check_until(reader, "no primary server")
        await reader.close()

    primary = RedisServer(tmp_path / "primary")
    with primary, start_sentinel(tmp_path / "sentinel", primary, "main") as sentinel:
        asyncio.run(trial(sentinel.port))


def test_a_server_that_is_no_primary_any_more_is_not_read(tmp_path: Path) -> None:
    async def trial(port: int) -> None:
        reader = open_store(f"redis+sentinel://127.0.0.1:{port}/main").open_reader(
            timeout_sec=PATIENCE_SEC
        )
        await check_until(reader, "not the primary")
        await reader.close()

    primary = RedisServer(tmp_path / "primary")
    with primary, start_sentinel(tmp_path / "sentinel", primary, "main") as sentinel:
        # The sentinel asks every ten seconds, so it does not know yet.
        primary.call("REPLICAOF", "127.0.0.1", 1)
        asyncio.run(trial(sentinel.port))
