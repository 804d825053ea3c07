"""What commands do to a Redis: to one server, to a cluster, and to one behind sentinels."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import MovedError

from tests.support.redis_servers import RedisServer, free_port, make_cluster, start_sentinel
from zeroskew.contract.errors.service import NotSupportedError, OnlineStoreUnavailableError
from zeroskew.online.reader import StoredView
from zeroskew.online.schemes import open_store

VIEW = StoredView("gate", "trial_gate", ("walk",))
KEYS = [b"gate:%d:" % number for number in range(100)]
OTHERS = [b"desk:%d:" % number for number in range(100)]


@pytest.fixture(scope="module", params=["redis", "redis+cluster", "redis+sentinel"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("redis")
    with ExitStack() as stack:
        if request.param == "redis+cluster":
            options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
            nodes = [
                stack.enter_context(RedisServer(folder / str(number), *options))
                for number in range(3)
            ]
            make_cluster(nodes)
            yield f"redis+cluster://127.0.0.1:{nodes[0].port}", nodes
            return
        main = stack.enter_context(RedisServer(folder / "main"))
        if request.param == "redis":
            yield main.url, [main]
            return
        sentinel = stack.enter_context(start_sentinel(folder / "sentinel", main, "main"))
        yield f"redis+sentinel://127.0.0.1:{sentinel.port}/main", [main]


@pytest.fixture
def filled(address: tuple[str, list[RedisServer]]) -> tuple[str, list[RedisServer]]:
    """Three projects' entities, spread over the nodes."""
    _, nodes = address
    for node in nodes:
        node.call("FLUSHALL")
    for project in (b"trial", b"other_trial", b"drain"):
        for key in (*KEYS, *OTHERS):
            write(nodes, key + project)
    return address


def write(nodes: list[RedisServer], key: bytes) -> None:
    """Write a hash to the node that takes it."""
    for node in nodes:
        with suppress(MovedError):
            node.call("HSET", key, "walk", key, "_ts:gate", b"")
            return


def count(nodes: list[RedisServer]) -> int:
    return sum(int(node.call("DBSIZE")) for node in nodes)


def test_a_server_that_answers_is_pinged(address: tuple[str, list[RedisServer]]) -> None:
    assert open_store(address[0]).ping(timeout_sec=5) is None


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster", "redis+sentinel"])
def test_a_server_that_does_not_answer_is_said(scheme: str) -> None:
    place = f"{scheme}://:hush@127.0.0.1:{free_port()}"
    online = open_store(f"{place}/main" if scheme == "redis+sentinel" else place)
    said = online.ping(timeout_sec=0.5)
    assert said is not None
    assert said.endswith("but expected a Redis that can be reached; start it first")
    assert "hush" not in said
    with pytest.raises(OnlineStoreUnavailableError, match="cannot be looked through: "):
        online.open_entities("trial", []).erase(lambda _: True)


def test_entities_are_found_and_erased_on_every_node(
    filled: tuple[str, list[RedisServer]],
) -> None:
    url, nodes = filled
    entities = open_store(url).open_entities("trial", [])
    meant = {*KEYS[::2]}
    found = entities.find(lambda key: key in meant)
    assert {one.key: (one.values, one.view) for one in found} == {
        key: ([key + b"trial"], None) for key in meant
    }
    before = count(nodes)
    assert entities.erase(lambda key: key in meant) == len(meant)
    assert count(nodes) == before - len(meant)
    assert entities.erase(lambda key: key in meant) == 0
    left = set(entities.list_keys(VIEW, b"gate:"))
    assert left >= {*KEYS[1::2]}
    assert not left & meant
    assert not left & {*OTHERS}


def test_another_projects_entities_are_not_its(filled: tuple[str, list[RedisServer]]) -> None:
    url, nodes = filled
    entities = open_store(url).open_entities("other_trial", [])
    before = count(nodes)
    assert entities.erase(lambda key: key in {*KEYS}) == len(KEYS)
    assert count(nodes) == before - len(KEYS)
    assert {*open_store(url).open_entities("trial", []).list_keys(VIEW, b"gate:")} == {*KEYS}


def test_a_server_is_not_measured_and_not_copied(tmp_path: Path) -> None:
    online = open_store("redis://127.0.0.1:1")
    assert online.measure() is None
    with pytest.raises(NotSupportedError, match="expected one in a SQLite file"):
        online.make_empty_copy(tmp_path)
