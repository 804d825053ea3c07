"""Follows requests through a service in this process, from the socket to onnxruntime."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvicorn
import uvloop

from api.http.application import Application
from api.http.protocol import GuardedHttpProtocol

__all__ = ["RequestWay", "follow_requests"]

_ROOT: Final = Path(__file__).parents[2]
_HOUSES: Final = tuple(f"{_ROOT / house}/" for house in ("api", "zeroskew"))
_GOAL: Final = "/onnxruntime/"


class RequestWay:
    """The calls of our own functions for one request, until onnxruntime is called."""

    def __init__(self) -> None:
        self.called: list[str] = []
        """The file of each function, in the order in which they began."""
        self.n_calls = 0
        """How many Python calls the whole answer took, libraries' included."""
        self._has_arrived = False
        # They are kept: a frame that goes on is none that begins, and an id is used again.
        self._frames: set[FrameType] = set()

    @property
    def files(self) -> list[str]:
        """The files in which something ran, in the order in which they were reached."""
        return list(dict.fromkeys(self.called))

    def note(self, frame: FrameType, event: str, _argument: object) -> None:
        """Note a call: the profile function of the event loop's thread."""
        if event != "call":
            return
        self.n_calls += 1
        path = frame.f_code.co_filename
        self._has_arrived |= _GOAL in path
        if not self._has_arrived and path.startswith(_HOUSES) and frame not in self._frames:
            self._frames.add(frame)
            self.called.append(path.removeprefix(f"{_ROOT}/"))


def follow_requests(
    app: Application, path: str, body: Mapping[str, Any], headers: Mapping[str, str], n_times: int
) -> list[RequestWay]:
    """Send a request several times over a connection, and return the way of each.

    One goes ahead of which nothing is told: it fills what the others find.
    """
    content = json.dumps(body).encode()
    lines = {
        "Host": "localhost",
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    request = f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + content
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_follow(app, request, n_times))[1:]


async def _follow(app: Application, request: bytes, n_times: int) -> list[RequestWay]:
    config = uvicorn.Config(
        app, port=0, http=GuardedHttpProtocol, ws="none", log_config=None, proxy_headers=False
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        address = server.servers[0].sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        ways = [await _ask(reader, writer, request) for _ in range(n_times + 1)]
        writer.close()
    finally:
        await server.shutdown()
    return ways


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> RequestWay:
    way = RequestWay()
    sys.setprofile(way.note)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
    finally:
        sys.setprofile(None)
    assert head.startswith(b"HTTP/1.1 200 "), head
    lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
    await reader.readexactly(int(lines[b"content-length"]))
    return way
