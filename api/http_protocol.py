"""uvicorn's HTTP/1.1 over httptools, made to outlast slow, many and careless clients."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.error_responses import refusal_response
from api.request_gate import RequestGate

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

    The application sees a request when its body is there, is larger than 64 KiB, or is late.
    What comes in one piece, headers and body, sets no timer. While the gate is full, a request
    is answered with 429 here, without the application: a refusal must cost a fraction of an
    answer, or refusing would be all that is left to do. One that comes in one piece between
    others is not even parsed.

    The application's ``state`` has the gate and the settings.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        state: Any = self.app.state
        self._gate: RequestGate = state.gate
        self._body_timeout_sec: float = state.settings.body_timeout_sec
        self._max_connections: int = state.settings.max_connections
        self._is_in_headers = True
        self._is_between_requests = True
        self._deadline: asyncio.TimerHandle | None = None
        self._held: RequestResponseCycle | None = None
        self._is_last = False
        self._n_unfinished_bytes = 0
        self._is_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own signature
        """Begin to wait for the first request, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            self._gate.note_refusal()
            transport.write(_REFUSALS[False])
            transport.close()
            return
        self._set_deadline(self.timeout_keep_alive, self._close)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, and wait no longer than the deadline for what they began."""
        if self._refuses_unparsed(data):
            return
        was_in_headers = self._is_in_headers and not self._is_between_requests
        super().data_received(data)
        if was_in_headers and self._is_in_headers:
            self._n_unfinished_bytes += len(data)
            if self._n_unfinished_bytes > _MAX_HEADER_BYTES:
                self._refuse_headers()
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
        self._is_in_headers = False
        self._drop_deadline()
        if self._has_too_many_headers():
            self._refuse_headers()
        else:
            super().on_headers_complete()

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
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Begin with what the client has sent meanwhile."""
        super().on_response_complete()
        if self._held is not None and self._deadline is None:
            self._set_deadline(self._body_timeout_sec, self._stop_holding)

    def shutdown(self) -> None:
        """End with the next answer, which says so; without a request, after a moment.

        A client that keeps its connection may have sent one just now. uvicorn would close the
        connection under it.
        """
        self._is_last = True
        if self._is_idle() and self._is_between_requests:
            self.loop.call_later(_LAST_REQUEST_SEC, self._close_if_idle)
        elif self.cycle is not None:
            self.cycle.keep_alive = False

    def _has_too_many_headers(self) -> bool:
        n_bytes = sum(len(name) + len(value) for name, value in self.headers)
        return n_bytes > _MAX_HEADER_BYTES or len(self.headers) > _MAX_HEADERS

    def _refuse_headers(self) -> None:
        """Answer that there are too many headers, and read no more of this connection."""
        if self._is_over:
            return
        self._is_over = True
        self._drop_deadline()
        if self._is_idle() and not self.transport.is_closing():
            # Else an earlier request is still owed its answer, and the client will miss this one.
            self.transport.write(_TOO_MANY_HEADERS)
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

    def _begin(self, cycle: RequestResponseCycle) -> None:
        self._held = None
        self._drop_deadline()
        cycle.keep_alive &= not self._is_last
        scope: Any = cycle.scope
        if not cycle.more_body:
            if not self._gate.admits(scope["path"]):
                self._refuse(cycle)
                return
            self._gate.set_body(scope, "whole")
            self._gate.enter(scope)
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

    def _refuse(self, cycle: RequestResponseCycle) -> None:
        """Answer that there is too much to do."""
        self._gate.note_refusal()
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
            self._gate.set_body(self._held.scope, "late")
            self._begin(self._held)

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
            self.transport.close()
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


def _write_header_refusal() -> bytes:
    said = (
        f"Got too many headers, but expected at most {_MAX_HEADERS}, and at most "
        f"{_MAX_HEADER_BYTES:,} bytes of it."
    ).encode()
    return (
        b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
        b"content-type: text/plain; charset=utf-8\r\n"
        b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(said), said)
    )


_TOO_MANY_HEADERS: Final = _write_header_refusal()
_REFUSALS: Final = {keep: _write_refusal(keep_alive=keep) for keep in (True, False)}
