"""Redis gone, frozen, cut off or out of step: no wrong answer, no hang, and recovery."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import redis
import uvloop

from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.redis_crowd import KEYS, Crowd, read_key, recover
from tests.support.redis_rows import LAYOUT, keys_of, write_entities
from tests.support.redis_servers import RedisServer, free_port
from tests.support.waiting import PATIENCE_SEC, is_done_by, let_others_run
from zeroskew.contract.errors.service import OnlineStoreUnavailableError, ServiceError
from zeroskew.online.reader import OnlineFeatureReader, StoredFeatures
from zeroskew.online.schemes import open_store

Runner: TypeAlias = Callable[[Any], Any]
RUNNERS: Final = [asyncio.run, uvloop.run]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        with running.client() as client:
            write_entities(client, *KEYS)
        yield running


@pytest.mark.parametrize("run", RUNNERS)
def test_no_answer_is_anothers_while_the_network_fails(server: RedisServer, run: Runner) -> None:
    async def fail_in_turn(proxy: FaultProxy, reader: OnlineFeatureReader) -> None:
        for fault in itertools.islice(Fault, 1, None):
            proxy.fault = fault
            await asyncio.sleep(0.15)
            proxy.fault = Fault.NONE
            # What the fault left behind in the proxy must not pass for a recovery.
            proxy.cut()
            await recover(reader)
            await asyncio.sleep(0.05)

    async def trial() -> Crowd:
        async with FaultProxy(server.port) as proxy:
            reader = open_store(proxy.url).open_reader(timeout_sec=None)
            crowd = Crowd(reader)
            await crowd.run(fail_in_turn(proxy, reader))
            await reader.close()
        return crowd

    run(trial()).assert_mixed()


@pytest.mark.parametrize("run", RUNNERS)
def test_no_answer_is_anothers_while_the_server_fails(tmp_path: Path, run: Runner) -> None:
    async def fail_in_turn(server: RedisServer, reader: OnlineFeatureReader) -> None:
        await asyncio.sleep(0.1)
        server.freeze()
        await asyncio.sleep(0.3)
        server.thaw()
        await recover(reader)
        await asyncio.to_thread(server.call, "CLIENT PAUSE", 300, "ALL")
        await asyncio.sleep(0.4)
        await recover(reader)
        server.kill()
        await asyncio.sleep(0.3)
        server.launch()
        await recover(reader)

    async def trial(server: RedisServer) -> Crowd:
        reader = open_store(server.url).open_reader(timeout_sec=None)
        crowd = Crowd(reader)
        await crowd.run(fail_in_turn(server, reader))
        await reader.close()
        return crowd

    with RedisServer(tmp_path) as server:
        with server.client() as client:
            write_entities(client, *KEYS)
        run(trial(server)).assert_mixed()


def test_a_late_reply_reaches_nobody(server: RedisServer) -> None:
    async def trial() -> None:
        async with FaultProxy(server.port, delay_sec=0.08) as proxy:
            reader = open_store(proxy.url).open_reader(timeout_sec=0.05)
            await recover(reader)
            proxy.fault = Fault.DELAY
            with pytest.raises(OnlineStoreUnavailableError, match="in time"):
                await read_key(reader, KEYS[1])
            proxy.fault = Fault.NONE
            # Now the reply to KEYS[1] is on its way, and would be the next one to arrive.
            for key in KEYS:
                try:
                    await read_key(reader, key)
                except OnlineStoreUnavailableError:
                    await asyncio.sleep(0.01)
            assert proxy.n_connections > 1
            await recover(reader)
            await reader.close()

    asyncio.run(trial())


@pytest.mark.parametrize("run", RUNNERS)
def test_a_cancelled_read_shifts_no_reply(server: RedisServer, run: Runner) -> None:
    async def trial() -> None:
        reader = open_store(server.url).open_reader(timeout_sec=PATIENCE_SEC)
        await read_key(reader, KEYS[0])
        for first in range(20):
            tasks = [asyncio.create_task(read_key(reader, key)) for key in KEYS]
            await asyncio.sleep(0)
            for task in tasks[first % 3 :: 3]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert sum(isinstance(r, asyncio.CancelledError) for r in results) >= 21
            assert all(isinstance(r, StoredFeatures | asyncio.CancelledError) for r in results)
        await reader.close()

    run(trial())


async def assert_refused_at_once(reader: OnlineFeatureReader, n_reads: int) -> None:
    """Check that reads are refused without waiting for the server or for a timer."""
    reads = [asyncio.create_task(read_key(reader, KEYS[0])) for _ in range(n_reads)]
    await let_others_run()
    assert all(read.done() for read in reads)
    assert {type(read.exception()) for read in reads} == {OnlineStoreUnavailableError}


def test_reads_fail_at_once_while_nobody_listens() -> None:
    async def trial() -> None:
        reader = open_store(f"redis://127.0.0.1:{free_port()}").open_reader(timeout_sec=None)
        with pytest.raises(OnlineStoreUnavailableError, match="store cannot be reached"):
            await reader.check(LAYOUT)
        await assert_refused_at_once(reader, 500)
        await reader.close()

    asyncio.run(trial())


def test_reads_do_not_each_wait_for_a_server_that_hangs(server: RedisServer) -> None:
    async def trial() -> None:
        async with FaultProxy(server.port) as proxy:
            proxy.fault = Fault.BLACK_HOLE
            reader = open_store(proxy.url).open_reader(timeout_sec=None)
            with pytest.raises(OnlineStoreUnavailableError):
                await read_key(reader, KEYS[0])
            await assert_refused_at_once(reader, 100)
            # No herd: a hundred failed reads made a handful of attempts.
            await asyncio.sleep(0.5)
            assert proxy.n_connections < 50
            proxy.fault = Fault.NONE
            proxy.cut()
            await recover(reader)
            await reader.close()

    asyncio.run(trial())


def test_a_read_survives_a_connection_that_breaks(server: RedisServer) -> None:
    async def trial() -> None:
        reader = open_store(server.url).open_reader(timeout_sec=PATIENCE_SEC)
        await read_key(reader, KEYS[0])
        server.call("CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.gather(*(read_key(reader, key) for key in KEYS))
        await reader.close()

    asyncio.run(trial())


def test_a_stalled_server_does_not_fill_the_memory(server: RedisServer) -> None:
    async def trial() -> None:
        async with FaultProxy(server.port) as proxy:
            reader = open_store(proxy.url).open_reader(timeout_sec=2.0)
            await recover(reader)
            proxy.fault = Fault.BLACK_HOLE
            reads = [asyncio.create_task(read_key(reader, KEYS[0])) for _ in range(1100)]
            await let_others_run()
            done = [task for task in reads if task.done()]
            assert len(done) == 1100 - 1024
            assert {str(task.exception()) for task in done} == {
                "Too many reads wait for the online store."
            }
            results = await asyncio.gather(*reads, return_exceptions=True)
            assert all(isinstance(result, OnlineStoreUnavailableError) for result in results)
            await reader.close()

    asyncio.run(trial())


def test_a_server_that_loads_its_data_is_not_ready() -> None:
    loading = _ScriptedServer(b"-LOADING Redis is loading the dataset in memory\r\n" * 2)

    async def trial() -> None:
        async with loading:
            reader = open_store(f"redis://127.0.0.1:{loading.port}").open_reader(
                timeout_sec=PATIENCE_SEC
            )
            with pytest.raises(OnlineStoreUnavailableError, match="still loading its data"):
                await reader.check(LAYOUT)
            await reader.close()

    asyncio.run(trial())


GREETING = b"*1\r\n$6\r\nmaster\r\n+PONG\r\n"


@pytest.mark.parametrize(
    ("replies", "message"),
    [
        (b"-OOM command not allowed\r\n" * 2, "out of memory"),
        (b"-MOVED 1 10.1.1.1:6379\r\n" * 2, "cluster"),
        (b"-SECRET words of a library\r\n" * 2, "^The online store refused to be read.$"),
        (b"*1\r\n$1\r\nx\r\n" * 2, "answers nothing that was asked"),
        (b":5\r\n:4\r\n", "answers nothing that was asked"),
        (b"$5\r\nxxxxx\r\n$4\r\nxxxx\r\n", "answers nothing that was asked"),
        (b"!garbage\r\n", "answers nothing that was asked"),
        (b"*-1\r\n*-1\r\n", "answers nothing that was asked"),
    ],
)
def test_odd_replies_become_clean_errors(replies: bytes, message: str) -> None:
    async def trial() -> None:
        async with _ScriptedServer(GREETING, replies) as odd:
            reader = open_store(f"redis://127.0.0.1:{odd.port}").open_reader(
                timeout_sec=PATIENCE_SEC
            )
            with pytest.raises(ServiceError, match=message) as caught:
                await read_key(reader, KEYS[0])
            assert "10.1.1.1" not in str(caught.value)
            await reader.close()

    asyncio.run(trial())


def test_a_reply_too_many_is_not_the_next_reads() -> None:
    replies = b"*5\r\n" + b"$-1\r\n" * 5 + b"*4\r\n" + b"$-1\r\n" * 4

    async def trial() -> None:
        async with _ScriptedServer(GREETING, replies + replies, replies) as odd:
            reader = open_store(f"redis://127.0.0.1:{odd.port}").open_reader(
                timeout_sec=PATIENCE_SEC
            )
            for _ in range(2):
                answer = await reader.read(LAYOUT, keys_of(KEYS[0]))
                assert answer.cells == [[None] * 6]
            # The second read had a connection of its own.
            assert odd.n_connections == 2
            await reader.close()

    asyncio.run(trial())


def test_attempts_to_connect_pause() -> None:
    async def trial() -> None:
        async with _ScriptedServer() as closing:
            reader = open_store(f"redis://127.0.0.1:{closing.port}").open_reader(timeout_sec=None)
            with pytest.raises(OnlineStoreUnavailableError):
                await reader.check(LAYOUT)
            async with asyncio.timeout(PATIENCE_SEC):
                while closing.n_connections < 6:
                    await asyncio.sleep(0.01)
            await reader.close()
        # Half of 50, 100, 200, 400 and 800 ms at least.
        assert closing.came_at[5] - closing.came_at[0] > 0.7

    asyncio.run(trial())


def test_a_read_that_moves_keeps_its_deadline(server: RedisServer) -> None:
    async def trial() -> None:
        async with FaultProxy(server.port) as proxy:
            reader = open_store(proxy.url).open_reader(timeout_sec=0.4)
            await recover(reader)
            proxy.fault = Fault.BLACK_HOLE
            read = asyncio.create_task(read_key(reader, KEYS[0]))
            late = asyncio.create_task(is_done_by(read, 0.6))
            await asyncio.sleep(0.3)
            proxy.cut()
            # One that began anew would have until 0.7.
            assert await late
            with pytest.raises(OnlineStoreUnavailableError, match="in time"):
                await read
            await reader.close()

    asyncio.run(trial())


class _ScriptedServer:
    """Answers each chunk that comes with the next of its replies, whatever was asked.

    Without replies it hangs up at once.
    """

    def __init__(self, *replies: bytes) -> None:
        self.came_at: list[float] = []
        self._replies = replies

    async def __aenter__(self) -> "_ScriptedServer":
        self._listener = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port: int = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()

    @property
    def n_connections(self) -> int:
        return len(self.came_at)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came_at.append(time.monotonic())
        for reply in self._replies:
            if not await reader.read(65_536):
                break
            writer.write(reply)
        if self._replies:
            await reader.read()
        writer.transport.abort()


def test_a_reader_recovers_from_a_restart(tmp_path: Path) -> None:
    async def trial(server: RedisServer) -> None:
        reader = open_store(server.url).open_reader(timeout_sec=None)
        await recover(reader)
        server.kill()
        await asyncio.sleep(1.2)
        server.launch()
        await asyncio.to_thread(_wait_for, server)
        await recover(reader)
        await reader.close()

    with RedisServer(tmp_path) as server:
        with server.client() as client:
            write_entities(client, KEYS[0])
        asyncio.run(trial(server))


def _wait_for(server: RedisServer) -> None:
    with server.client() as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.01)
            else:
                return
