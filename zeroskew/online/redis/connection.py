"""One multiplexed connection to Redis: commands go out in order, and so do their replies.

Nothing in a reply names its command, so order is all there is. A connection on which a reply
is late, missing, surplus or of another shape is closed at once and never used again: what it
would still deliver could be another request's answer.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, cast

from hiredis import HiredisError, Reader, ReplyError

from zeroskew.contract.errors.service import OnlineStoreUnavailableError
from zeroskew.online.redis.layout import HashReply
from zeroskew.online.redis.replies import translate_error

__all__ = ["NO_DEADLINE", "LossListener", "RedisConnection", "RedisRequest"]

NO_DEADLINE: Final = math.inf
"""The deadline of a request whose sender watches the clock."""

_MAX_IN_FLIGHT: Final = 1024
_MAX_IN_FLIGHT_BYTES: Final = 32 * 1024 * 1024
# A reply that came in while the event loop was busy is read before its request is given up.
_GRACE_SEC: Final = 0.002
_INCOMPLETE: Final = object()
_KEEPALIVE_OPTIONS: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


class RedisRequest:
    """Commands that are answered together.

    Parameters
    ----------
    commands
        Packed commands.
    widths
        How many values the reply to each must have; ``None`` takes replies of any kind.
    future
        Receives the replies, or the `ServiceError` that stands for them.
    deadline
        When it is given up, on the event loop's clock.
    expected
        The bytes of all replies as they probably are. Where they are, nobody parses them, and the
        future receives no replies at all.
    """

    __slots__ = (
        *("command", "deadline", "expected", "future", "is_moved", "n_bytes", "n_replies"),
        "widths",
    )

    def __init__(
        self,
        commands: Sequence[bytes],
        widths: list[int] | None,
        future: asyncio.Future[list[Any]],
        deadline: float,
        expected: bytes | None = None,
    ) -> None:
        self.command = b"".join(commands)
        self.n_replies = len(commands)
        self.widths = widths
        self.future = future
        self.deadline = deadline
        self.expected = expected
        self.n_bytes = len(self.command) + len(expected or b"")
        self.is_moved = False

    def fail(self, error: Exception) -> None:
        """Fail the request, unless it is answered or nobody waits for it any more."""
        if not self.future.done():
            # Each waiter raises its own copy: a traceback grows where it is raised.
            copy = type(error)(*error.args)
            copy.__cause__ = error.__cause__
            self.future.set_exception(copy)


LossListener: TypeAlias = Callable[["RedisConnection", list[RedisRequest], Exception], None]
"""Is told once that a connection is lost, which requests it leaves, and why."""


class RedisConnection(asyncio.Protocol):
    """The client's side of one connection.

    Parameters
    ----------
    loop
        The event loop it lives in.
    on_loss
        Is told when the connection is lost, unless `close` closed it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_loss: LossListener) -> None:
        self._loop = loop
        self._on_loss = on_loss
        self._reader = Reader(notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._in_flight: deque[RedisRequest] = deque()
        self._in_flight_bytes = 0
        self._replies: list[Any] = []
        self._is_parsing = False
        self._begun = b""
        self._watch: asyncio.TimerHandle | None = None
        self._opened_at = loop.time()
        self.is_lost = False
        self.has_answered = False
        self.closed: asyncio.Future[None] = loop.create_future()

    @property
    def age_sec(self) -> float:
        """How long ago the connection was opened."""
        return self._loop.time() - self._opened_at

    def send(self, request: RedisRequest) -> None:
        """Send a request; its deadline is not before those of the requests sent earlier."""
        size = request.n_bytes
        n_in_flight = len(self._in_flight)
        if n_in_flight and (
            n_in_flight >= _MAX_IN_FLIGHT or self._in_flight_bytes + size > _MAX_IN_FLIGHT_BYTES
        ):
            request.fail(OnlineStoreUnavailableError("Too many reads wait for the online store."))
            return
        assert self._transport is not None
        self._in_flight.append(request)
        self._in_flight_bytes += size
        if self._watch is None and request.deadline != NO_DEADLINE:
            self._watch = self._loop.call_at(request.deadline, self._check_deadline)
        self._transport.write(request.command)

    def close(self, error: Exception) -> None:
        """Close the connection and fail what is in flight."""
        for request in self._shut():
            request.fail(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and have the kernel find a peer that went away silently."""
        # uvloop's transports are of no class of asyncio's, but they do the same.
        self._transport = cast("asyncio.Transport", transport)
        if self.is_lost:
            self._transport.abort()
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE_OPTIONS:
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def data_received(self, data: bytes) -> None:
        """Match replies to requests, oldest first."""
        if self.is_lost:
            return
        if not self._is_parsing:
            data = self._match_expected(self._begun + data)
        if not data:
            return
        self._is_parsing = True
        try:
            self._reader.feed(data)
            self._match_replies()
        except HiredisError as error:
            self._lose(_garbled(), error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand back what was in flight."""
        if not self.closed.done():
            self.closed.set_result(None)
        if not self.is_lost:
            self._lose(
                OnlineStoreUnavailableError("The connection to the online store broke."), exc
            )

    def _match_expected(self, data: bytes) -> bytes:
        """Settle the requests whose replies are as expected; return the bytes behind them.

        Bytes that may become such replies are kept until there are more of them.
        """
        in_flight, position = self._in_flight, 0
        self._begun = b""
        while position < len(data) and in_flight:
            expected = in_flight[0].expected
            if expected is None:
                break
            if not data.startswith(expected, position):
                if expected.startswith(data[position:]):
                    self._begun = data[position:]
                    return b""
                break
            position += len(expected)
            self._settle_first([])
        return data[position:] if position else data

    def _match_replies(self) -> None:
        next_reply, in_flight = self._reader.gets, self._in_flight
        while in_flight:
            replies, n_replies = self._replies, in_flight[0].n_replies
            while len(replies) < n_replies:
                reply = next_reply()
                if reply is _INCOMPLETE:
                    return
                replies.append(reply)
            self._replies = []
            if not self._settle(in_flight[0], replies):
                return
        if next_reply() is not _INCOMPLETE:
            self._lose(_garbled(), None)
        else:
            self._is_parsing = self._reader.has_data()

    def _settle(self, request: RedisRequest, replies: list[Any]) -> bool:
        """Give a request its replies; return whether the connection can still be trusted."""
        widths = request.widths
        if widths is not None and [len(r) for r in replies if type(r) is list] != widths:
            error = _find_error(replies, widths)
            if error is None:
                self._lose(_garbled(), None)
                return False
            request.fail(translate_error(error))
        self._settle_first(replies)
        return True

    def _settle_first(self, replies: list[Any]) -> None:
        request = self._in_flight.popleft()
        self._in_flight_bytes -= request.n_bytes
        self.has_answered = True
        if not request.future.done():
            request.future.set_result(replies)

    def _check_deadline(self) -> None:
        """Give up on the oldest request if it is overdue; else look again when it will be."""
        self._watch = None
        if not self._in_flight:
            return
        head = self._in_flight[0]
        if head.deadline <= self._loop.time():
            self._watch = self._loop.call_later(_GRACE_SEC, self._give_up_on, head)
        else:
            self._watch = self._loop.call_at(head.deadline, self._check_deadline)

    def _give_up_on(self, request: RedisRequest) -> None:
        if self._in_flight and self._in_flight[0] is request:
            self._lose(
                OnlineStoreUnavailableError("The online store did not answer in time."), None
            )
        else:
            self._check_deadline()

    def _lose(self, error: Exception, cause: Exception | None) -> None:
        error.__cause__ = cause
        self._on_loss(self, self._shut(), error)

    def _shut(self) -> list[RedisRequest]:
        """Close the transport now; return the requests without an answer."""
        self.is_lost = True
        unanswered = list(self._in_flight)
        self._in_flight.clear()
        self._in_flight_bytes = 0
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._transport is not None:
            self._transport.abort()
        return unanswered


def _find_error(replies: Sequence[HashReply | ReplyError], widths: Sequence[int]) -> Any:
    """Return the first error among replies that are otherwise as wide as they must be."""
    first = None
    for reply, width in zip(replies, widths, strict=True):
        if isinstance(reply, ReplyError):
            first = first or reply
        elif type(reply) is not list or len(reply) != width:
            return None
    return first


def _garbled() -> OnlineStoreUnavailableError:
    return OnlineStoreUnavailableError(
        "Got a reply of the online store that answers nothing that was asked."
    )
