"""uvicorn's HTTP/1.1 over httptools, made to outlast slow, many and careless clients."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.http.context import REQUEST, RequestContext
from api.http.error_responses import refusal_response
from api.http.gate import Place, RequestGate
from api.http.lingering_transport import LingeringTransport
from api.http.request_parser import RequestParser
from zeroskew.contract.settings import Settings

__all__ = ["GuardedHttpProtocol", "is_whole_prediction"]

_LAST_REQUEST_SEC: Final = 1.0
_MAX_HEADER_BYTES: Final = 64 * 1024
_MAX_HEADERS: Final = 100
_PREDICTION: Final = re.compile(
    rb"POST /v[12]/models/[!-~]+ HTTP/1\.1\r\n(?:[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t -~]*\r\n)+\r\n"
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length:([^\r]*)", re.IGNORECASE)
_MATTERS: Final = re.compile(
    rb"\r\n(?:transfer-encoding|connection|expect|upgrade|origin):", re.IGNORECASE
)
"""Headers by which a refusal would have to be another than the usual one."""


class GuardedHttpProtocol(HttpToolsProtocol):
    """A connection with deadlines for headers and bodies, and a bound on what is under way.

    A new connection has ``timeout_keep_alive`` seconds to bring its first request's headers,
    and every later request as long from its first byte to the end of its headers; then the
    connection is closed. Between requests uvicorn's own timer runs.

    An offer of another protocol is ignored, HTTP/1.1 without one ``Host`` is refused, and what
    stands behind a body in chunks as more headers (trailers) is nobody's.

    The application sees a request when its body is there, is larger than 64 KiB, or is late. An
    answer that it gives before the body is there is the connection's last, and says so; the
    client may finish sending and then read it.
    What comes in one piece, headers and body, sets no timer. While the gate is full, a request
    is answered with 429 here, without the application: a refusal must cost a fraction of an
    answer, or refusing would be all that is left to do. One that comes in one piece between
    others is not even parsed.

    The application's ``parts`` have the gate and the settings.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.parser: RequestParser = RequestParser(self)  # type: ignore[assignment]  # all of one that is used
        parts: Any = self.app.parts
        settings: Settings = parts[Settings]
        self._gate: RequestGate = parts[RequestGate]
        self._body_timeout_sec = settings.body_timeout_sec
        self._max_connections = settings.max_connections
        self._is_in_headers = True
        self._is_between_requests = True
        self._deadline: asyncio.TimerHandle | None = None
        self._held: RequestResponseCycle | None = None
        self._is_last = False
        self._n_unfinished_bytes = 0
        self._is_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own signature
        """Begin to wait for the first request, unless there are too many connections."""
        self._lingering = LingeringTransport(
            transport, loop=self.loop, is_sending=lambda: not self._is_between_requests
        )
        super().connection_made(self._lingering)  # type: ignore[arg-type]  # all of one that is used
        if len(self.connections) > self._max_connections:
            self._gate.note_refusal()
            transport.write(_REFUSALS[False])
            transport.close()
            return
        self._set_deadline(self.timeout_keep_alive, self._close)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, and wait no longer than the deadline for what they began."""
        if self._is_over or self._lingering.is_closed:
            self._lingering.discard(len(data))
            return
        if self._refuses_unparsed(data):
            return
        was_in_headers = self._is_in_headers and not self._is_between_requests
        super().data_received(data)
        if self._is_over:
            return
        if was_in_headers and self._is_in_headers:
            self._n_unfinished_bytes += len(data)
            if self._n_unfinished_bytes > _MAX_HEADER_BYTES:
                self._refuse(_TOO_MANY_HEADERS)
        if self._deadline is not None:
            return
        if self._is_in_headers:
            self._set_deadline(self.timeout_keep_alive, self._close)
        elif self._held is not None:
            self._set_deadline(self._body_timeout_sec, self._stop_holding)

    def on_message_begin(self) -> None:
        """Note that a request's first byte has come."""
        if self._is_over:
            return
        self._is_in_headers = True
        self._is_between_requests = False
        self._n_unfinished_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that a request's headers are complete."""
        if self._is_over:
            return
        self._drop_deadline()
        if self._has_too_many_headers():
            self._refuse(_TOO_MANY_HEADERS)
        elif not self._has_one_host():
            self._refuse(_NOT_ONE_HOST)
        else:
            super().on_headers_complete()
            self._is_in_headers = False
            # Trailers come as headers do, and must not be taken for some.
            self.headers = deque(maxlen=0)  # type: ignore[assignment]  # it is appended to

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body, and let the application see to a large one."""
        if self._is_over:
            return
        super().on_body(body)
        if self._held is not None and len(self._held.body) > HIGH_WATER_LIMIT:
            self._begin(self._held)

    def on_message_complete(self) -> None:
        """Let the application see a request that is there as a whole."""
        if self._is_over:
            return
        self._is_between_requests = True
        super().on_message_complete()
        if self._held is not None:
            self._begin(self._held)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._drop_deadline()
        self._held = None
        self._lingering.end()
        self.parser.close()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Begin with what the client has sent meanwhile."""
        was_last_owed = self._is_over and not self.pipeline
        super().on_response_complete()
        if was_last_owed:
            self.transport.close()
        if self._held is not None and self._deadline is None:
            self._set_deadline(self._body_timeout_sec, self._stop_holding)

    def shutdown(self) -> None:
        """End with the next answer, which says so; without a request, after a moment.

        A client that keeps its connection may have sent one just now. uvicorn would close the
        connection under it.
        """
        self._is_last = True
        if self._lingering.is_closing():
            self._lingering.end()
        elif self._is_idle() and self._is_between_requests:
            self.loop.call_later(_LAST_REQUEST_SEC, self._close_if_idle)
        elif self.cycle is not None:
            self.cycle.keep_alive = False

    def _has_too_many_headers(self) -> bool:
        n_bytes = sum(len(name) + len(value) for name, value in self.headers)
        return n_bytes > _MAX_HEADER_BYTES or len(self.headers) > _MAX_HEADERS

    def _has_one_host(self) -> bool:
        n_hosts = sum(name == b"host" for name, _ in self.headers)
        return n_hosts == 1 or (n_hosts == 0 and self.parser.get_http_version() == "1.0")

    def send_400_response(self, msg: str) -> None:
        """Answer that what came is no HTTP; uvicorn would answer an earlier request with it."""
        self._refuse(_write_text(400, msg))

    def _refuse(self, answer: bytes) -> None:
        """Refuse the present request and read no more; what earlier ones are owed comes first."""
        if self._is_over:
            return
        self._is_over = True
        self._drop_deadline()
        if self._is_in_headers or self._is_between_requests:
            if not self._is_idle():
                return
        elif self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()
            return
        else:
            self._held = None
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            answer = b"" if self.cycle.response_started else answer
        self.transport.write(answer)
        self.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]  # it is None at first

    def _close_if_idle(self) -> None:
        if self._is_idle() and not self.transport.is_closing():
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ARG002 - uvicorn's own signature
        """Hold a request whose body is still to come; uvicorn would begin at once."""
        if cycle.more_body and not cycle.waiting_for_100_continue:
            self._held = cycle
        else:
            self._begin(cycle)

    def _begin(self, cycle: RequestResponseCycle, *, is_late: bool = False) -> None:
        self._held = None
        self._drop_deadline()
        cycle.keep_alive &= not self._is_last
        scope: Any = cycle.scope
        if cycle.more_body:
            place: Place | None = Place(self._gate, "late" if is_late else "arriving")
            cycle.send = partial(_send_last, cycle, cycle.send)  # type: ignore[method-assign]
        else:
            place = self._gate.enter(scope["path"])
        if place is None:
            self._refuse_busy(cycle)
            return
        scope[REQUEST] = RequestContext(place)
        super()._start_asgi_task(cycle, self.app)

    def _refuses_unparsed(self, data: bytes) -> bool:
        """Refuse a prediction while the gate is full, if `data` is one as a whole."""
        if (
            not self._is_between_requests
            or self._gate.has_room
            or not self._is_idle()
            or self._is_last
            or self.pipeline
            or self.transport.is_closing()
            or not is_whole_prediction(data)
        ):
            return False
        self._gate.note_refusal()
        self.transport.write(_REFUSALS[True])
        # As after any answer, the client has its time for the next request.
        self._drop_deadline()
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )
        return True

    def _refuse_busy(self, cycle: RequestResponseCycle) -> None:
        """Answer that there is too much to do."""
        self.transport.write(_REFUSALS[cycle.keep_alive])
        cycle.response_complete = True
        if cycle.keep_alive:
            self.on_response_complete()
        else:
            self.transport.close()

    def _stop_holding(self) -> None:
        """Let the application answer a request whose body did not arrive in time."""
        self._deadline = None
        if self._held is not None:
            self._begin(self._held, is_late=True)

    def _set_deadline(self, seconds: float, give_up: Any) -> None:
        self._deadline = self.loop.call_later(seconds, give_up)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self._deadline = None
        # What an earlier request of this connection is still owed comes first.
        if self._is_idle():
            # It has had its time, and is told nothing that it could read.
            self._lingering.end()
        else:
            self._set_deadline(self.timeout_keep_alive, self._close)


def is_whole_prediction(data: bytes) -> bool:
    """Tell whether `data` is one usual request for a prediction, and nothing else."""
    head = _PREDICTION.match(data)
    if head is None:
        return False
    lengths = _LENGTH.findall(data, 0, head.end())
    if len(lengths) != 1 or not (length := lengths[0].strip(b" ")).isdigit():
        return False
    if len(length) > 18 or head.end() + int(length) != len(data):
        return False
    return _MATTERS.search(data, 0, head.end()) is None


def _write_refusal(*, keep_alive: bool) -> bytes:
    response = refusal_response()
    headers = [*response.raw_headers, *([] if keep_alive else [(b"connection", b"close")])]
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"HTTP/1.1 429 Too Many Requests\r\n%b\r\n%b" % (lines, bytes(response.body))


async def _send_last(cycle: RequestResponseCycle, send: Any, message: Any) -> None:
    """Send a part of an answer, which is the connection's last if the body is still to come."""
    if message["type"] == "http.response.start" and cycle.more_body:
        cycle.keep_alive = False
    await send(message)


def _write_text(status: int, said: str) -> bytes:
    return b"HTTP/1.1 %d %b\r\n%b%d\r\nconnection: close\r\n\r\n%b" % (
        status,
        HTTPStatus(status).phrase.encode(),
        b"content-type: text/plain; charset=utf-8\r\ncontent-length: ",
        len(said),
        said.encode(),
    )


_TOO_MANY_HEADERS: Final = _write_text(
    431,
    f"Got too many headers, but expected at most {_MAX_HEADERS}, and at most "
    f"{_MAX_HEADER_BYTES:,} bytes of it.",
)
_NOT_ONE_HOST: Final = _write_text(
    400, "Got a request in HTTP/1.1 with no Host or several, but expected one."
)
_REFUSALS: Final = {keep: _write_refusal(keep_alive=keep) for keep in (True, False)}
