"""A TCP proxy that loses, cuts and delays what goes through it."""

from __future__ import annotations

import asyncio
import contextlib
from enum import Enum, auto

__all__ = ["Fault", "FaultProxy"]

_CHUNK = 65_536


class Fault(Enum):
    """What becomes of the server's replies."""

    NONE = auto()
    BLACK_HOLE = auto()
    """Nothing passes, in either direction; connections stay open."""
    RESET_MID_REPLY = auto()
    """Half of a reply passes, then the connection is reset."""
    TRUNCATE = auto()
    """Half of a reply passes, then nothing of it any more; connections stay open."""
    DELAY = auto()
    """Replies pass after ``delay_sec``."""
    EXTRA_REPLY = auto()
    """A reply nobody asked for stands before the others."""
    SHORT_REPLY = auto()
    """An array of one value stands in place of a reply."""


class FaultProxy:
    """Stands between a client and a server on this machine; use it as an async context manager."""

    def __init__(self, server_port: int, *, delay_sec: float = 0.12) -> None:
        self.fault = Fault.NONE
        self.n_connections = 0
        self._server_port = server_port
        self._delay_sec = delay_sec
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> FaultProxy:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """Redis's address through the proxy."""
        return f"redis://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.n_connections += 1
        self._writers.add(writer)
        try:
            to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(to_server[1])
        ways = [
            asyncio.ensure_future(self._carry(reader, to_server[1])),
            asyncio.ensure_future(self._carry_back(to_server[0], writer)),
        ]
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, to_server[1]):
            end.transport.abort()
            self._writers.discard(end)
        self._tasks.discard(task)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Carry what a client asks."""
        while data := await source.read(_CHUNK):
            if self.fault is not Fault.BLACK_HOLE and not target.transport.is_closing():
                target.write(data)

    async def _carry_back(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Carry what the server replies, or what the fault makes of it."""
        is_cut = False
        while data := await source.read(_CHUNK):
            fault = self.fault
            if fault is Fault.DELAY:
                await asyncio.sleep(self._delay_sec)
            if is_cut or fault is Fault.BLACK_HOLE or target.transport.is_closing():
                continue
            target.write(_spoil(data, fault))
            if fault is Fault.RESET_MID_REPLY:
                await asyncio.sleep(0)
                return
            is_cut = fault is Fault.TRUNCATE


def _spoil(data: bytes, fault: Fault) -> bytes:
    """Return what a fault makes of a server's reply."""
    match fault:
        case Fault.RESET_MID_REPLY | Fault.TRUNCATE:
            return data[: len(data) // 2]
        case Fault.EXTRA_REPLY:
            return b"*1\r\n$1\r\nx\r\n" + data
        case Fault.SHORT_REPLY:
            return b"*1\r\n$1\r\nx\r\n"
        case _:
            return data
