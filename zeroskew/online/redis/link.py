"""Keeps one connection to a Redis server, and gives reads to it or refuses them at once.

::

    connecting ──► connected ──► (lost) ──► connecting ...
        │
        └──► down ──► connected

A read that comes while the first attempt after a loss is under way waits for it, for at most
its own timeout. When that attempt fails or takes longer, the server is down: reads fail at
once, and further attempts go on in the background, with growing, random pauses.

A read in flight on a connection that is lost goes to the next one, once, and within its own
deadline. Reads change nothing, so asking again is safe; asking once only keeps a read that
makes the server hang up from doing so for ever.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog
from hiredis import ReplyError

from zeroskew.contract.errors.service import OnlineStoreUnavailableError, ServiceError
from zeroskew.online.redis.connection import NO_DEADLINE, RedisConnection, RedisRequest
from zeroskew.online.redis.layout import HashReply, RedisQuestion
from zeroskew.online.redis.replies import translate_error

__all__ = ["RedisEndpoint", "RedisLink"]

_log: Final = structlog.get_logger(__name__)

_UNREACHABLE: Final = "The online store cannot be reached."
_LATE: Final = "The online store did not answer in time."
_FIRST_PAUSE_SEC: Final = 0.05
_LONGEST_PAUSE_SEC: Final = 1.0
_CONNECT_TIMEOUT_SEC: Final = 0.5
_STEADY_SEC: Final = 5.0
_CLOSE_TIMEOUT_SEC: Final = 0.5
# A read with less of its time left would time out, and cost the others their connection.
_LEAST_TIME_LEFT: Final = 0.2


class RedisEndpoint(Protocol):
    """Where a server is."""

    @property
    def login(self) -> Sequence[Sequence[str]]:
        """The commands that a new connection begins with; ``OK`` is their reply."""
        ...

    async def open(self, make_connection: Callable[[], RedisConnection]) -> None:
        """Open a transport with a new connection as its protocol."""
        ...

    def accepts(self, role: str) -> bool:
        """Whether a server with this role, ``master`` or ``slave``, is the one that is meant."""
        ...


class RedisLink:
    """Reads from one server, in one event loop.

    Parameters
    ----------
    endpoint
        Where the server is.
    timeout_sec
        How long a read may take, its wait for a connection included.
    """

    def __init__(self, endpoint: RedisEndpoint, *, timeout_sec: float) -> None:
        self._endpoint = endpoint
        self._timeout_sec = timeout_sec
        self._loop = asyncio.get_running_loop()
        self._connection: RedisConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._may_wait = True
        self._waiting: dict[RedisRequest, None] = {}
        self._n_failures = 0
        self._refusal: Exception = OnlineStoreUnavailableError(_UNREACHABLE)
        self._is_closed = False

    def ask(self, question: RedisQuestion) -> asyncio.Future[list[HashReply]]:
        """Send the commands of a read.

        Parameters
        ----------
        question
            What to ask.

        Returns
        -------
        asyncio.Future
            Their replies; or an `OnlineStoreUnavailableError`, or an `OnlineValueError` where a
            key is not a hash.
        """
        loop = self._loop
        request = RedisRequest(
            question.commands,
            question.widths,
            loop.create_future(),
            loop.time() + self._timeout_sec,
            question.expected,
        )
        if self._connection is not None:
            self._connection.send(request)
        elif self._is_closed or not self._may_wait:
            request.fail(self._refusal)
        else:
            self._wait_for_connection(request)
        return request.future

    async def close(self) -> None:
        """Close the connection; reads in flight and later ones fail."""
        self._is_closed = True
        self._refusal = OnlineStoreUnavailableError("The online store is closed.")
        self._refuse_waiting()
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(self._refusal)
            await asyncio.wait([connection.closed], timeout=_CLOSE_TIMEOUT_SEC)

    def _wait_for_connection(self, request: RedisRequest) -> None:
        self._waiting[request] = None
        self._loop.call_at(request.deadline, self._stop_waiting, request)
        if self._connecting is None:
            self._connecting = self._loop.create_task(self._connect_until_ready())

    def _stop_waiting(self, request: RedisRequest) -> None:
        if request in self._waiting:
            del self._waiting[request]
            request.fail(OnlineStoreUnavailableError(_LATE))

    def _refuse_waiting(self) -> None:
        self._may_wait = False
        for request in self._waiting:
            request.fail(self._refusal)
        self._waiting.clear()

    async def _connect_until_ready(self) -> None:
        overdue = self._loop.call_later(self._timeout_sec, self._refuse_waiting)
        try:
            while True:
                if self._n_failures:
                    await asyncio.sleep(self._pause_sec())
                try:
                    self._adopt(await self._connect())
                except Exception as error:
                    # Whatever it is, only another attempt can end it.
                    self._n_failures += 1
                    self._refusal = _explain(error)
                    if self._n_failures == 1:
                        _log.warning("online_store_unreachable", error=repr(error))
                    self._refuse_waiting()
                else:
                    return
        finally:
            overdue.cancel()

    def _pause_sec(self) -> float:
        longest = min(_LONGEST_PAUSE_SEC, _FIRST_PAUSE_SEC * 2.0 ** min(self._n_failures - 1, 10))
        return random.uniform(0.5, 1.0) * longest  # noqa: S311 - spreads clients, hides nothing

    async def _connect(self) -> RedisConnection:
        """Return a connection on which the server has answered."""
        connection = RedisConnection(self._loop, self._on_loss)
        try:
            async with asyncio.timeout(max(self._timeout_sec, _CONNECT_TIMEOUT_SEC)):
                await self._endpoint.open(lambda: connection)
                await self._greet(connection)
        except BaseException:
            connection.close(OnlineStoreUnavailableError("The connection was given up."))
            raise
        return connection

    async def _greet(self, connection: RedisConnection) -> None:
        commands = [*self._endpoint.login, ("ROLE",), ("PING",)]
        greeting = RedisRequest(
            [_pack(command) for command in commands],
            None,
            self._loop.create_future(),
            NO_DEADLINE,
        )
        greeting.is_moved = True
        connection.send(greeting)
        *logins, role, pong = await greeting.future
        connection.has_answered = False
        for reply in (*logins, pong):
            if isinstance(reply, ReplyError) and not str(reply).startswith("NOPERM"):
                raise translate_error(reply)
        if type(role) is list and role and not self._endpoint.accepts(role[0].decode()):
            raise OnlineStoreUnavailableError("The online store's server is not the primary one.")

    def _adopt(self, connection: RedisConnection) -> None:
        """Make a connection the one that is used, and send what waits for it."""
        if connection.is_lost:
            raise OnlineStoreUnavailableError("The connection to the online store broke.")
        self._connection, self._connecting, self._may_wait = connection, None, True
        waiting, self._waiting = self._waiting, {}
        for request in waiting:
            if request.future.done():
                continue
            if request.deadline - self._loop.time() < _LEAST_TIME_LEFT * self._timeout_sec:
                request.fail(OnlineStoreUnavailableError(_LATE))
            else:
                connection.send(request)

    def _on_loss(
        self, connection: RedisConnection, unanswered: list[RedisRequest], error: Exception
    ) -> None:
        if connection is not self._connection:
            # It was still being opened: its greeting fails, and with it the attempt.
            for request in unanswered:
                request.fail(error)
            return
        self._connection = None
        self._refusal = error
        _log.warning(
            "online_store_connection_lost", reason=str(error), n_unanswered=len(unanswered)
        )
        is_proven = connection.has_answered or connection.age_sec > _STEADY_SEC
        self._n_failures = 0 if is_proven else self._n_failures + 1
        self._may_wait = is_proven
        for request in unanswered:
            self._move(request, error)
        if self._connecting is None and not self._is_closed:
            self._connecting = self._loop.create_task(self._connect_until_ready())

    def _move(self, request: RedisRequest, error: Exception) -> None:
        """Let a request wait for the next connection, if it may."""
        if request.future.done():
            return
        if request.is_moved or not self._may_wait or request.deadline <= self._loop.time():
            request.fail(error)
        else:
            request.is_moved = True
            self._wait_for_connection(request)


def _pack(command: Sequence[str]) -> bytes:
    texts = [text.encode() for text in command]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%b\r\n" % (len(t), t) for t in texts)


def _explain(error: Exception) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    refusal = OnlineStoreUnavailableError(_UNREACHABLE)
    refusal.__cause__ = error
    return refusal
