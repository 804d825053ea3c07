"""An HTTP server on this machine that answers as it is told to, well or badly."""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Self

__all__ = ["Received", "Reply", "ScriptedServer", "Then", "http_reply", "in_turn"]

_DRIP_SEC = 0.02


class Then(Enum):
    """What becomes of the connection once a reply's bytes are sent."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()
    STALL = auto()
    """It stays open, and nothing comes any more."""
    DRIP = auto()
    """It stays open, and a space comes every now and then."""


@dataclass(frozen=True)
class Reply:
    """The bytes sent for a request, and what follows."""

    content: bytes = b""
    then: Then = Then.KEEP


@dataclass(frozen=True)
class Received:
    """A request as it came; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str] = field(hash=False)
    body: bytes

    def json(self) -> Any:
        """Return the body."""
        return json.loads(self.body)


def http_reply(
    content: Any, status: int = 200, media_type: str = "application/json", **headers: str
) -> Reply:
    """Return a whole reply; ``content`` is bytes, or is written as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {media_type}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Reply("\r\n".join([*lines, "", ""]).encode() + body)


def in_turn(replies: Sequence[Reply]) -> Callable[[Received], Reply]:
    """Return what answers each request with the next of `replies`, and the last for ever."""
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


class ScriptedServer:
    """Answers each request with what ``answer`` returns for it; use it as a context manager."""

    def __init__(self, answer: Callable[[Received], Reply]) -> None:
        self.received: list[Received] = []
        self.n_connections = 0
        self._answer = answer
        self._closing = threading.Event()
        self._lock = threading.Lock()
        script = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                script._serve(self)

        class TCPServer(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 50

        self._server = TCPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: socketserver.StreamRequestHandler) -> None:
        with self._lock:
            self.n_connections += 1
        try:
            while (request := _read_request(handler)) is not None:
                with self._lock:
                    self.received.append(request)
                reply = self._answer(request)
                handler.wfile.write(reply.content)
                if reply.then is not Then.KEEP:
                    self._end(handler, reply.then)
                    return
        except OSError:
            return

    def _end(self, handler: socketserver.StreamRequestHandler, then: Then) -> None:
        connection: socket.socket = handler.request
        if then is Then.RESET:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()
        elif then is Then.STALL:
            self._closing.wait()
        while then is Then.DRIP and not self._closing.wait(_DRIP_SEC):
            handler.wfile.write(b" ")


def _read_request(handler: socketserver.StreamRequestHandler) -> Received | None:
    first = handler.rfile.readline().decode()
    if not first:
        return None
    headers = {}
    while line := handler.rfile.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = handler.rfile.read(int(headers.get("content-length", "0")))
    method, target, _ = first.split(" ", 2)
    return Received(method, target, headers, body)
