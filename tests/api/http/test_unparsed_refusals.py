"""What is refused without being parsed is one whole prediction, as a parser would see it."""

from typing import Any

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.http.protocol import is_whole_prediction

PLAIN = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


class Seen:
    """What httptools makes of bytes."""

    def __init__(self) -> None:
        self.n_begun = self.n_complete = 0
        self.body = b""

    def on_message_begin(self) -> None:
        self.n_begun += 1

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.n_complete += 1


def parse(data: bytes) -> tuple[Seen, Any]:
    seen = Seen()
    parser = httptools.HttpRequestParser(seen)
    parser.feed_data(data)
    return seen, parser


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        PLAIN.replace(b"v1", b"v2").replace(b"m:predict", b"m/infer"),
        PLAIN.replace(b"Content-Length: 2", b"content-length:2\r\nX-Request-ID: 1 2"),
    ],
)
def test_a_whole_prediction_is_told(data: bytes) -> None:
    assert is_whole_prediction(data)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN[:-1],
        PLAIN + b" ",
        PLAIN + PLAIN,
        PLAIN.replace(b"POST", b"GET"),
        PLAIN.replace(b"1.1", b"1.0"),
        PLAIN.replace(b"/v1/models/", b"/feast/"),
        PLAIN.replace(b"Host: x", b"Connection: close"),
        PLAIN.replace(b"Host: x", b"Expect: 100-continue"),
        PLAIN.replace(b"Host: x", b"Transfer-Encoding: chunked"),
        PLAIN.replace(b"Host: x", b"Upgrade: h2c"),
        PLAIN.replace(b"Host: x", b"Origin: https://app.example"),
        PLAIN.replace(b"Host: x", b"Content-Length: 2"),
        PLAIN.replace(b"Content-Length: 2\r\n", b""),
        PLAIN.replace(b"Host: x", b"Host : x"),
        PLAIN.replace(b"\r\n", b"\n"),
        b"\r\n" + PLAIN,
    ],
)
def test_anything_else_goes_to_the_parser(data: bytes) -> None:
    assert not is_whole_prediction(data)


_PIECES = st.sampled_from(
    [
        *(b"POST ", b"GET ", b"/v1/models/m:predict", b"/v2/models/m/infer", b" HTTP/1.1", b"\r\n"),
        *(
            b"Host: x",
            b"Content-Length: 2",
            b"content-length:3",
            b"Content-Length: +2",
            b"\r\n\r\n",
        ),
        *(
            b"Transfer-Encoding: chunked",
            b"Connection: close",
            b"{}",
            b"0\r\n\r\n",
            b" ",
            b"\n",
            b":",
        ),
        *(b"X: \t", b"\x00", b"\xff", b"Content-Length:\t2", b"Content-Length: 2, 2"),
    ]
)


@example(PLAIN, 0, 0, [])
@given(
    st.sampled_from([PLAIN, PLAIN.replace(b"Host: x", b"A: b\r\nHost: x")]),
    st.integers(0, 90),
    st.integers(0, 40),
    st.lists(_PIECES, max_size=3),
)
def test_what_is_told_is_one_message_to_a_parser(
    data: bytes, start: int, n_lost: int, pieces: list[bytes]
) -> None:
    changed = data[:start] + b"".join(pieces) + data[start + n_lost :]
    if is_whole_prediction(changed):
        seen, parser = parse(changed)
        assert (seen.n_begun, seen.n_complete) == (1, 1)
        assert changed.endswith(b"\r\n\r\n" + seen.body)
        assert parser.get_method() == b"POST"
        assert parser.should_keep_alive()
        assert not parser.should_upgrade()
