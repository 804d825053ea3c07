"""Closes connections whose request headers do not arrive, which uvicorn keeps for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HeaderDeadlineProtocol"]


class HeaderDeadlineProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 over httptools, with a deadline for a request's line and headers.

    A new connection has ``timeout_keep_alive`` seconds to bring its first request's headers,
    and every later request as long from its first byte to the end of its headers. A request
    whose headers come in one piece sets no timer. Between requests uvicorn's own timer runs.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._is_in_headers = True
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own signature
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, and wait no longer than the deadline for headers that they began."""
        super().data_received(data)
        if self._is_in_headers and self._deadline is None:
            self._set_deadline()

    def on_message_begin(self) -> None:
        """Note that a request's first byte has come."""
        self._is_in_headers = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that a request's headers are complete."""
        self._is_in_headers = False
        self._drop_deadline()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._drop_deadline()
        super().connection_lost(exc)

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(self.config.timeout_keep_alive, self._close)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self._deadline = None
        # What an earlier request of this connection is still owed comes first.
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]  # it is None at first
            self.transport.close()
        else:
            self._set_deadline()
