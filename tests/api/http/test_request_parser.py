"""A request that offers an upgrade is read as llhttp reads the same request without the offer."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.http.request_parser import RequestParser

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
OFFERS = (
    H2C,
    b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    b"upgrade:TLS/1.0, h2c\r\nX: y\r\nCONNECTION:\tupgrade\r\n",
    b"Connection: upgrade\r\nConnection: close\r\nUpgrade: h2c\r\n",
    b"Upgrade: h2c\r\n",
    b"Connection: upgrade\r\n",
    b"",
)
SMUGGLED = b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n"
BODIES = (b"", b"{}", SMUGGLED, SMUGGLED * 2, b"\r\n\r\n0\r\n\r\n", bytes(range(256)))


class Seen:
    """What a parser says about the requests of a connection."""

    def __init__(self, kind: Any) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[tuple[bytes, bytes]] = []
        self.parser = kind(self)
        if kind is httptools.HttpRequestParser:
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.error: str | None = None

    def on_message_begin(self) -> None:
        self.headers = []
        self.requests.append({"url": b"", "body": b"", "is_whole": False})

    def on_url(self, url: bytes) -> None:
        self.requests[-1]["url"] += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        hidden = {b"upgrade", b"connection"}
        self.requests[-1] |= {
            "method": self.parser.get_method(),
            "version": self.parser.get_http_version(),
            "goes_on": self.parser.should_keep_alive(),
            "headers": [one for one in self.headers if one[0] not in hidden],
        }

    def on_body(self, body: bytes) -> None:
        self.requests[-1]["body"] += body

    def on_message_complete(self) -> None:
        self.requests[-1]["is_whole"] = True

    def feed(self, pieces: Sequence[bytes]) -> "Seen":
        try:
            for piece in pieces:
                self.parser.feed_data(piece)
        except httptools.HttpParserError as error:
            self.error = type(error).__name__
        return self


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


def frame(body: bytes, size: int) -> bytes:
    """Return the headers and the body, in chunks of `size` bytes, or whole where it is 0."""
    if not size:
        return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    lines = b"".join(b"%x;a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"Transfer-Encoding: chunked\r\n\r\n%b0\r\nUpgrade: trailer\r\n\r\n" % lines


REQUEST = st.tuples(
    st.sampled_from([b"POST", b"GET", b"DELETE", b"OPTIONS"]),
    st.sampled_from(OFFERS),
    st.sampled_from(BODIES),
    st.sampled_from([0, 1, 7, 1000]),
)


@given(st.lists(REQUEST, min_size=1, max_size=4), st.lists(st.integers(0, 5000), max_size=12))
@example([(b"POST", H2C, SMUGGLED, 0)] * 3, [])
@example([(b"POST", H2C, SMUGGLED, 7)] * 3, range(2000))
def test_offers_change_nothing(requests: Any, places: Sequence[int]) -> None:
    plain = offering = b""
    for number, (method, offer, body, size) in enumerate(requests):
        line = b"%b /%d?a=b HTTP/1.1\r\nHost: x\r\n" % (method, number)
        offering += line + offer + frame(body, size)
        # Only what the offer consists of is away: what else `Connection` says stays.
        rest = b"".join(
            one + b"\r\n"
            for one in offer.split(b"\r\n")
            if one and not one.lower().startswith(b"upgrade:")
        )
        plain += line + rest + frame(body, size)
    read = Seen(RequestParser).feed(cut(offering, places))
    assert read.requests == Seen(httptools.HttpRequestParser).feed([plain]).requests
    assert [one["body"] for one in read.requests] == [one[2] for one in requests][
        : len(read.requests)
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\n" + H2C + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\n" + H2C + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0",
        b"POST / HTTP/1.1\r\n" + H2C + b"Transfer-Encoding: chunked\r\n\r\nz\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\n" + H2C + b"Transfer-Encoding: gzip\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\n" + H2C + b"Transfer-Encoding: x,\r\n chunked\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\n" + H2C + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_cannot_be_read_one_way_only_is_refused(data: bytes, size: int) -> None:
    read = Seen(RequestParser).feed([data[i : i + size] for i in range(0, len(data), size)])
    assert read.error is not None
    assert not any(one["is_whole"] for one in read.requests)
