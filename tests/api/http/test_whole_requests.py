"""What a client sends is read whole, whatever it offers, and what it is answered it can read."""

import http.client
import json
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from tests.api.v1.test_predict import EXAMPLE_SCORE
from tests.support.debian_programs import need_program
from tests.support.manifests import EXAMPLE
from tests.support.service_process import Server
from tests.support.waiting import PATIENCE_SEC

PATH = "/v1/models/arrival_delay:predict"
BODY = json.dumps({"instances": [EXAMPLE]}).encode()
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
WEBSOCKET = b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
JAVA = Path(__file__).parents[2] / "support" / "java" / "DefaultClient.java"
MAX_BODY = 100_000


@pytest.fixture(scope="module")
def server(published: Path, online_store: Path) -> Iterator[Server]:
    running = Server(
        published,
        online_store,
        ZEROSKEW_MAX_BODY_BYTES=str(MAX_BODY),
        ZEROSKEW_BODY_TIMEOUT_SEC="20",
    )
    yield running
    running.stop()


class Connection:
    """A connection to a server, written and read byte by byte."""

    def __init__(self, server: Server) -> None:
        host, port = server.url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.settimeout(PATIENCE_SEC)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sendall = self.socket.sendall
        self.stream = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stream.close()
        self.socket.close()

    def read_head(self) -> bytes:
        """Read an answer's first line and headers."""
        lines = [b""]
        while (line := self.stream.readline()) not in (b"\r\n", b""):
            lines.append(line)
        return b"".join(lines)

    def read_answer(self) -> tuple[int, bytes]:
        """Read an answer's status and body."""
        head = self.read_head()
        length = re.search(rb"content-length: (\d+)", head.lower())
        assert length is not None, head
        return int(head.split()[1]), self.stream.read(int(length[1]))


def post(offer: bytes = b"", body: bytes = BODY, *, chunk: int = 0, path: str = PATH) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    if not chunk:
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (head.encode(), offer, len(body), body)
    chunks = [body[i : i + chunk] for i in range(0, len(body), chunk)]
    lines = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks)
    return b"%b%bTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (head.encode(), offer, lines)


def value_of(answer: bytes) -> Any:
    return json.loads(answer)["predictions"][0]["value"]


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize("chunk", [0, 11], ids=["length", "chunks"])
@pytest.mark.parametrize("cuts", ["one", "head", "body", "dribble"])
def test_an_offer_keeps_its_body_and_its_connection(
    server: Server, offer: bytes, chunk: int, cuts: str
) -> None:
    request = post(offer, chunk=chunk)
    end = request.index(b"\r\n\r\n") + 4
    pieces: Sequence[bytes] = {
        "one": [request],
        "head": [request[:end], request[end:]],
        "body": [request[: end + 5], request[end + 5 :]],
        "dribble": [request[i : i + 1] for i in range(len(request))],
    }[cuts]
    with Connection(server) as connection:
        for _ in range(3):
            for piece in pieces:
                connection.sendall(piece)
            status, body = connection.read_answer()
            assert (status, value_of(body)) == (200, EXAMPLE_SCORE)


def test_offers_in_a_pipeline_are_answered_in_their_order(server: Server) -> None:
    # Each body looks like requests; none of them is one.
    inner = post(path="/v1/models/nope:predict") * 2
    wrong = b'{"instances": "%b"}' % json.dumps(inner.decode()).encode()[1:-1]
    requests = [post(H2C), post(H2C, wrong), post(b"", chunk=9), post(WEBSOCKET, chunk=5)]
    for size in (1 << 20, 50):
        data = b"".join(requests)
        with Connection(server) as connection:
            for place in range(0, len(data), size):
                connection.sendall(data[place : place + size])
            answers = [connection.read_answer() for _ in range(4)]
            assert [status for status, _ in answers] == [200, 422, 200, 200]
            connection.sendall(post(H2C))
            status, body = connection.read_answer()
            assert (status, value_of(body)) == (200, EXAMPLE_SCORE)


def test_an_offer_without_a_body_is_answered(server: Server) -> None:
    with Connection(server) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + H2C + b"\r\n")
        assert connection.read_answer()[0] == 200


def test_curl_offers_h2c(server: Server) -> None:
    command = [need_program("curl", ("curl",)), "-sS", "--http2", "-w", "\n%{http_code}"]
    sent = ["-H", "Content-Type: application/json", "--data-binary", "@-"]
    for extra in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]):
        done = subprocess.run(
            [*command, *extra, *sent, server.url + PATH, "--next", "-sS", f"{server.url}/livez"],
            input=BODY,
            capture_output=True,
            check=True,
        )
        answer, rest = done.stdout.split(b"\n", 1)
        assert (value_of(answer), rest) == (EXAMPLE_SCORE, b'200{"status":"ok"}')


def test_javas_client_offers_h2c(server: Server) -> None:
    java = need_program("openjdk-17-jdk-headless", ("java",))
    done = subprocess.run(
        [java, "-XX:TieredStopAtLevel=1", JAVA, server.url + PATH],
        input=BODY,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [(line[:3], value_of(line[4:])) for line in lines] == [(b"200", EXAMPLE_SCORE)] * 3


@pytest.mark.parametrize(
    "hosts", [b"", b"Host: localhost\r\nHost: localhost\r\n", b"Host: a\r\nhost: localhost\r\n"]
)
def test_a_request_names_one_host(server: Server, hosts: bytes) -> None:
    for line, body in ((b"GET /livez", b""), (b"POST " + PATH.encode(), BODY)):
        for offer in (b"", H2C):
            with Connection(server) as connection:
                head = b"%b HTTP/1.1\r\n%b%b" % (line, hosts, offer)
                connection.sendall(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
                status, said = connection.read_answer()
                assert (status, connection.stream.read()) == (400, b"")
                assert said.startswith(b"Got a request in HTTP/1.1 with no Host or several")


def test_http_1_0_knew_no_host(server: Server) -> None:
    with Connection(server) as connection:
        connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert connection.read_answer()[0] == 200


def test_trailers_are_no_headers(server: Server) -> None:
    request = post(chunk=9).removesuffix(b"\r\n") + b"X-Request-ID: trailing\r\nHost: b\r\n\r\n"
    with Connection(server) as connection:
        connection.sendall(request)
        head = connection.read_head()
        assert head.startswith(b"HTTP/1.1 200")
        assert b"trailing" not in head


@pytest.mark.parametrize(
    ("path", "size", "expected"),
    [
        (PATH, 50 * MAX_BODY, 413),
        (PATH, 2 * MAX_BODY, 413),
        ("/v2/models/arrival_delay/infer", 50 * MAX_BODY, 413),
        ("/v1/feedback", 50 * MAX_BODY, 413),
        ("/feast/get-online-features", 50 * MAX_BODY, 413),
        ("/nowhere", 50 * MAX_BODY, 404),
    ],
)
@pytest.mark.parametrize("chunk", [0, 65536], ids=["length", "chunks"])
@pytest.mark.parametrize("keep", [b"", b"Connection: close\r\n"], ids=["kept", "last"])
def test_who_sends_everything_first_reads_the_refusal(
    server: Server, path: str, size: int, expected: int, chunk: int, keep: bytes
) -> None:
    with Connection(server) as connection:
        connection.sendall(post(keep, b" " * size, chunk=chunk, path=path))
        head = connection.read_head().lower()
        assert head.startswith(b"http/1.1 %d" % expected)
        assert b"connection: close" in head
        told = re.search(rb"content-length: (\d+)", head)
        assert told is not None
        assert json.loads(connection.stream.read(int(told[1])))["error"]
        assert connection.stream.read() == b""  # An end, not a reset.


def test_a_refusal_before_the_body_ends_the_connection(server: Server) -> None:
    # Who waits for `100 Continue` never sends the body; the next request must not be taken for it.
    head = post(b"Expect: 100-continue\r\n", b" " * (MAX_BODY + 1)).split(b" " * MAX_BODY)[0]
    with Connection(server) as connection:
        connection.sendall(head + b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.socket.shutdown(socket.SHUT_WR)
        answers = connection.stream.read()
    assert answers.count(b"HTTP/1.1") == 1
    assert b"connection: close" in answers.lower()


def test_pythons_client_reads_413_and_goes_on(server: Server) -> None:
    connection = http.client.HTTPConnection(
        server.url.removeprefix("http://"), timeout=PATIENCE_SEC
    )
    for _ in range(2):
        connection.request(
            "POST", PATH, b" " * (20 * MAX_BODY), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["code"]) == (413, "body_too_large")
        connection.request("POST", PATH, BODY, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, value_of(answer.read())) == (200, EXAMPLE_SCORE)
    connection.close()


@pytest.mark.parametrize("garbage", [b"\0\0\0", b"NO SUCH\r\n\r\n", b"GET /livez HTTP/1.1\r\n\r\n"])
def test_what_is_no_request_does_not_take_an_earlier_answer(server: Server, garbage: bytes) -> None:
    with Connection(server) as connection:
        connection.sendall(post() + post(H2C) + garbage)
        answers = [connection.read_answer() for _ in range(2)]
        assert [(status, value_of(body)) for status, body in answers] == [(200, EXAMPLE_SCORE)] * 2
        assert connection.stream.read() == b""


@pytest.mark.parametrize("size", [10, 80_000])
def test_a_broken_body_is_refused(server: Server, size: int) -> None:
    head = post(H2C, b" " * 50, chunk=100).split(b"\r\n\r\n")[0] + b"\r\n\r\n"
    with Connection(server) as connection:
        connection.sendall(head + b"%x\r\n%b\r\nzzz\r\n" % (size, b" " * size))
        status, _ = connection.read_answer()
        assert (status, connection.stream.read()) == (400, b"")
