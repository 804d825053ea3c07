"""Hundreds of slow clients beside normal ones, and a body of 50 MB; `make soak` runs it."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.service_process import Server

pytestmark = pytest.mark.soak

N_SLOW = 300
CLOSED_WITHIN_SEC = 10.0
MAX_P99_SEC = 0.1
PATH = "/v1/models/arrival_delay:predict"
BODY = json.dumps({"instances": [EXAMPLE]}).encode()
POST = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
REQUEST = f"{POST}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
MB = 1_000_000


@pytest.fixture
def server(tmp_path: Path, online_store: Path) -> Iterator[Server]:
    graph = sum_graph(6, 2)
    publish(tmp_path, make_manifest(graph), graph)
    defaults = {"ZEROSKEW_MAX_BODY_BYTES": "1048576", "ZEROSKEW_BODY_TIMEOUT_SEC": "5"}
    running = Server(tmp_path, online_store, **defaults)
    yield running
    running.kill()


async def connect(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = server.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def drip(server: Server, sent: bytes, rest: bytes) -> float:
    """Send a beginning, then a byte every half second; return how long the server bore it."""
    reader, writer = await connect(server)
    begin = time.monotonic()
    writer.write(sent)
    closed = asyncio.create_task(reader.read())
    for number in range(len(rest)):
        done, _ = await asyncio.wait([closed], timeout=0.5)
        if done:
            break
        writer.write(rest[number : number + 1])
    await asyncio.wait([closed], timeout=30)
    assert closed.done()
    seconds = time.monotonic() - begin
    await end(writer)
    # A connection that the server reset has nothing more to say.
    closed.exception()
    return seconds


async def end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def call_normally(server: Server, until: asyncio.Event) -> list[float]:
    """Ask over a connection of its own, 20 times a second; return the latencies."""
    reader, writer = await connect(server)
    latencies = []
    while not until.is_set():
        begin = time.monotonic()
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        latencies.append(time.monotonic() - begin)
        await asyncio.sleep(0.05)
    await end(writer)
    return latencies


def test_slow_clients_are_closed_and_harm_nobody(server: Server) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: "
    body = f"{POST}Content-Length: 100000\r\n\r\n".encode()

    async def run_all() -> tuple[list[float], list[float]]:
        over = asyncio.Event()
        normal = [asyncio.create_task(call_normally(server, over)) for _ in range(10)]
        slow = [drip(server, head, b"x" * 100) for _ in range(N_SLOW)]
        slow += [drip(server, body, b" " * 100) for _ in range(N_SLOW)]
        lasted = await asyncio.gather(*slow)
        over.set()
        return lasted, [one for part in await asyncio.gather(*normal) for one in part]

    lasted, latencies = asyncio.run(run_all())
    p99 = sorted(latencies)[int(len(latencies) * 0.99)]
    print(  # noqa: T201 - a trial tells its numbers
        f"{len(lasted)} slow clients closed after at most {max(lasted):.1f} s, {len(latencies)} "
        f"normal requests meanwhile, p99 {p99 * 1e3:.0f} ms"
    )
    assert max(lasted) < CLOSED_WITHIN_SEC
    assert p99 < MAX_P99_SEC


def memory_mb(server: Server) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / MB


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_of_50_mb_is_refused_and_costs_little(server: Server, is_chunked: bool) -> None:
    async def send() -> bytes:
        reader, writer = await connect(server)
        length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {50 * MB}"
        writer.write(f"{POST}{length}\r\n\r\n".encode())
        part = b" " * 100_000
        with suppress(ConnectionError):
            for _ in range(500):
                writer.write(b"%x\r\n%b\r\n" % (len(part), part) if is_chunked else part)
                await writer.drain()
        answer = await reader.read(1000)
        await end(writer)
        return answer

    before = memory_mb(server)
    answer = asyncio.run(send())
    grown = memory_mb(server) - before
    print(f"a body of 50 MB, chunked: {is_chunked}: {grown:.1f} MB more at the most")  # noqa: T201
    assert answer.startswith(b"HTTP/1.1 413 "), answer
    assert grown < 20
