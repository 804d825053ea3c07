"""httptools' parser of requests, for a service that takes no offer of another protocol.

curl and Java's ``HttpClient`` offer HTTP/2 by ``Upgrade: h2c`` with their first request, a browser
a WebSocket. A server that does not take an offer ignores it and answers the request (RFC 9110,
7.8). llhttp takes it: it ends the request behind its headers, whatever body they announce, and
pauses, and httptools lets it read what follows as the next request. So a body was lost, or became
a request of its own (https://github.com/MagicStack/httptools/issues/124).
"""

from __future__ import annotations

import re
from typing import Any, Final

import httptools

__all__ = ["RequestParser"]

_FRAMING: Final = frozenset({b"connection", b"content-length", b"transfer-encoding"})
"""The headers by which a parser knows where a request ends, and whether another may follow."""

_BREAKS: Final = re.compile(rb"[\r\n\0]")


class RequestParser:
    """Reads requests one after another, each as if it offered no upgrade.

    Where llhttp would take an offer, another parser is shown the request's line and the headers
    that say how its body comes, without the offer, and reads on from there. So the end of the body
    is found by llhttp's own rules, whatever arrives in which packet.

    Parameters
    ----------
    protocol
        Has httptools' callbacks ``on_message_begin``, ``on_url``, ``on_header``,
        ``on_headers_complete``, ``on_body`` and ``on_message_complete``; its ``headers`` are those
        of the present request, names in lower case.
    """

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self.on_url = protocol.on_url
        self.on_header = protocol.on_header
        self.on_body = protocol.on_body
        self._parser = self._make_parser(self)

    def feed_data(self, data: bytes) -> None:
        """Read the next bytes of the connection.

        Raises
        ------
        httptools.HttpParserError
            If they are no HTTP/1.1. A request by CONNECT is none for this service.
        """
        rest: bytes | memoryview = data
        while True:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as pause:
                rest = memoryview(rest)[pause.args[0] :]
                self._ignore_offer()
            else:
                return

    def close(self) -> None:
        """Let go of the protocol, which lets go of this."""
        del self._parser

    def get_method(self) -> bytes:
        """Return the present request's method."""
        return self._parser.get_method()

    def get_http_version(self) -> str:
        """Return the present request's version, such as ``1.1``."""
        return self._parser.get_http_version()

    def should_keep_alive(self) -> bool:
        """Return whether another request may follow on the connection."""
        return self._parser.should_keep_alive()

    def should_upgrade(self) -> bool:
        """Return that no offer is taken."""
        return False

    def on_message_begin(self) -> None:
        """Pass on that a request begins."""
        self._protocol.on_message_begin()

    def on_headers_complete(self) -> None:
        """Pass on that the headers are there, but for an offer: then they are looked at again."""
        if not self._parser.should_upgrade():
            self._protocol.on_headers_complete()
        elif self._parser.get_method() == b"CONNECT":
            raise httptools.HttpParserInvalidMethodError("Got CONNECT.")

    def on_message_complete(self) -> None:
        """Pass on that the body is there, but for an offer: then it is still to come."""
        if not self._parser.should_upgrade():
            self._protocol.on_message_complete()

    def _ignore_offer(self) -> None:
        """Go on with a parser that knows of the present request all but the offer."""
        lines = [b"%b / HTTP/%b" % (self.get_method(), self.get_http_version().encode())]
        for name, value in self._protocol.headers:
            if name in _FRAMING:
                if _BREAKS.search(value):
                    raise httptools.HttpParserError("Got a line break within a header.")
                lines.append(b"%b: %b" % (name, value))
        head = b"\r\n".join((*lines, b"", b""))
        # It has the callbacks of a request that has begun.
        self._parser = self._make_parser(_Replay(self))
        self._parser.feed_data(head)

    def _make_parser(self, callbacks: Any) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(callbacks)
        # As uvicorn has it: bytes behind a last request are not an error, but nobody's.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser


class _Replay:
    """The callbacks of a parser that is shown a request's head for the second time."""

    def __init__(self, target: RequestParser) -> None:
        self._target = target
        self._is_known = True
        self.on_body = target.on_body
        self.on_message_complete = target.on_message_complete

    def on_message_begin(self) -> None:
        """Pass on that a request begins, but for the known one."""
        if not self._is_known:
            self._target.on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Pass on an address, but for the known request's."""
        if not self._is_known:
            self._target.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Pass on a header, but for the known request's."""
        if not self._is_known:
            self._target.on_header(name, value)

    def on_headers_complete(self) -> None:
        """Pass on that the headers are there: how the body comes is known only now."""
        self._is_known = False
        self._target.on_headers_complete()
