"""Posts the lines of a file at a fixed rate over many connections, and tells answers apart.

    python flood.py HOST PORT LINES PER_SEC SECONDS CONNECTIONS

A request starts when its time has come, on a connection that is idle; its latency counts from
then. Where none is idle it waits for one, and its wait counts too; after a second it is given
up as unsent. Prints a JSON object: for each status how many there were, and their latencies in
milliseconds. It must not be the bottleneck, so it knows no more of HTTP than it needs.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import defaultdict, deque
from pathlib import Path

import uvloop

_GIVE_UP_SEC = 1.0


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, flood: Flood) -> None:
        self._flood = flood
        self._buffer = b""
        self._due = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Offer the connection."""
        self._transport = transport  # type: ignore[assignment]  # it is one
        self._flood.take(self)

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due."""
        self._due = due
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Count an answer when it is there as a whole."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length: ") + 16
        length = int(head[at : head.find(b"\r\n", at) if b"\r\n" in head[at:] else end])
        if len(self._buffer) >= end + 4 + length:
            status, self._buffer = self._buffer[9:12].decode(), b""
            self._flood.answered(status, time.perf_counter() - self._due)
            self._flood.take(self)

    def connection_lost(self, _: Exception | None) -> None:
        """Open another one."""
        self._flood.lost(self)


class Flood:
    """The whole of it."""

    def __init__(self, requests: list[bytes]) -> None:
        self._requests = requests
        self._idle: deque[Connection] = deque()
        self._waiting: deque[float] = deque()
        self.latencies: dict[str, list[float]] = defaultdict(list)
        self.n_sent = self.n_unsent = self.n_lost = 0

    def take(self, connection: Connection) -> None:
        """Give an idle connection the request that has waited longest."""
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def ask(self, due: float) -> None:
        """Send the next request, or let it wait for a connection."""
        if self._idle:
            self._send(self._idle.popleft(), due)
        else:
            self._waiting.append(due)

    def give_up(self, now: float) -> None:
        """Drop what has waited too long."""
        while self._waiting and now - self._waiting[0] > _GIVE_UP_SEC:
            self._waiting.popleft()
            self.n_unsent += 1

    def answered(self, status: str, seconds: float) -> None:
        """Count an answer."""
        self.latencies[status].append(seconds)

    def lost(self, connection: Connection) -> None:
        """Count a connection that the server closed."""
        self.n_lost += 1
        if connection in self._idle:
            self._idle.remove(connection)

    def _send(self, connection: Connection, due: float) -> None:
        connection.send(self._requests[self.n_sent % len(self._requests)], due)
        self.n_sent += 1


async def run(host: str, port: int, lines: Path, per_sec: float, seconds: float, n: int) -> None:
    """Flood, and print what came back."""
    requests = []
    for line in lines.read_text().splitlines():
        path, body = line.split(" ", 1)
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    flood = Flood(requests)
    loop = asyncio.get_running_loop()
    for _ in range(n):
        await loop.create_connection(lambda: Connection(flood), host, port)
    gc.disable()
    begin, n_asked = time.perf_counter(), 0
    while (now := time.perf_counter()) - begin < seconds:
        while begin + n_asked / per_sec <= now:
            flood.ask(begin + n_asked / per_sec)
            n_asked += 1
        flood.give_up(now)
        await asyncio.sleep(0.0005)
    took = time.perf_counter() - begin
    seen = {status: list(values) for status, values in flood.latencies.items()}
    sys.stdout.write(
        json.dumps(
            {
                "asked": n_asked,
                "unsent": flood.n_unsent,
                "lost": flood.n_lost,
                "seconds": took,
                "statuses": {status: _describe(values) for status, values in seen.items()},
            }
        )
    )


def _describe(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1e3 for share in (0.5, 0.99))
    return {"count": len(ordered), "p50_ms": p50, "p99_ms": p99, "max_ms": ordered[-1] * 1e3}


if __name__ == "__main__":
    host, port, lines, per_sec, seconds, n = sys.argv[1:]
    uvloop.run(run(host, int(port), Path(lines), float(per_sec), float(seconds), int(n)))
