"""Replies that are not parsed, because they are to the byte those of the last time."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.redis_rows import LAYOUT, feature_field, write_entities
from tests.support.redis_servers import RedisServer
from zeroskew.online.redis.connection import NO_DEADLINE, RedisConnection, RedisRequest
from zeroskew.online.redis.layout import HashReply
from zeroskew.online.schemes import open_store

VALUES = st.lists(st.none() | st.binary(max_size=4), min_size=1, max_size=3)
KEYS = (b"one", b"two", b"three")
N_STEPS = 400


class Sink:
    """A transport that keeps nothing."""

    is_aborted = False

    def write(self, data: bytes) -> None: ...

    def abort(self) -> None:
        self.is_aborted = True

    def get_extra_info(self, name: str) -> None: ...


def encode(reply: HashReply) -> bytes:
    values = [b"$-1\r\n" if one is None else b"$%d\r\n%b\r\n" % (len(one), one) for one in reply]
    return b"*%d\r\n" % len(reply) + b"".join(values)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[i:j] for i, j in zip([0, *ends], [*ends, len(data)], strict=True) if j > i]


@given(
    st.lists(
        st.tuples(st.lists(VALUES, min_size=1, max_size=3), st.sampled_from(["same", "old", "no"])),
        min_size=1,
        max_size=5,
    ),
    st.lists(st.integers(0, 500), max_size=4),
)
def test_each_request_has_its_own_replies(
    asked: list[tuple[list[HashReply], str]], places: list[int]
) -> None:
    """Whatever was expected, and wherever the stream is cut."""

    async def trial() -> None:
        loop = asyncio.get_running_loop()
        connection = RedisConnection(loop, lambda *_: None)
        transport: Any = Sink()
        connection.connection_made(transport)
        requests = []
        for replies, kind in asked:
            content = b"".join(map(encode, replies))
            expected = {"same": content, "old": encode([b"old"]), "no": None}[kind]
            widths = [len(reply) for reply in replies]
            commands = [b"x"] * len(replies)
            one = RedisRequest(commands, widths, loop.create_future(), NO_DEADLINE, expected)
            connection.send(one)
            requests.append(one)
        for part in cut(b"".join(encode(r) for replies, _ in asked for r in replies), places):
            connection.data_received(part)
        assert not transport.is_aborted
        for (replies, _), one in zip(asked, requests, strict=True):
            got = one.future.result()
            assert got == replies or (not got and one.expected == b"".join(map(encode, replies)))
        if not places:
            all_same = [not one.future.result() for one in requests]
            first_other = next(
                (i for i, (_, kind) in enumerate(asked) if kind != "same"), len(asked)
            )
            assert all(all_same[:first_other])
        connection.data_received(b"$1")
        connection.data_received(b"\r\nx\r\n")
        assert transport.is_aborted

    asyncio.run(trial())


@pytest.fixture
def server(tmp_path: Path) -> Any:
    with RedisServer(tmp_path / "redis") as running:
        yield running


def test_a_reader_that_expects_reads_what_a_new_one_reads(server: RedisServer) -> None:
    rng = random.Random(7)  # noqa: S311 - a seed
    field = feature_field(LAYOUT.views[0], "mean")

    async def trial() -> int:
        reader, n_same = open_store(server.url).open_reader(timeout_sec=5), 0
        last: set[Any] = set()
        with server.client() as client:
            write_entities(client, *KEYS)
            hashes = sorted(client.keys())
            for _ in range(N_STEPS):
                if rng.random() < 0.15:
                    client.hset(rng.choice(hashes), field, rng.randbytes(rng.randrange(4)))
                n_rows = rng.choice([1, 1, 2, 5, 20])
                keys = [[rng.choice([*KEYS, b"unknown", None]) for _ in range(n_rows)]] * 2
                fresh = open_store(server.url).open_reader(timeout_sec=5)
                got, expected = await asyncio.gather(
                    reader.read(LAYOUT, keys), fresh.read(LAYOUT, keys)
                )
                assert got.cells == expected.cells
                assert got.event_us.tolist() == expected.event_us.tolist()
                seen = {one for row in got.rows or () for one in row}
                n_same += bool(seen & last)
                last |= seen
                await fresh.close()
        await reader.close()
        return n_same

    assert asyncio.run(trial()) > N_STEPS // 4
