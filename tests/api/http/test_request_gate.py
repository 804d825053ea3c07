"""What a server does with more requests than it answers at a time, and with slow ones."""

import socket
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.service_process import Server
from tests.support.waiting import PATIENCE_SEC, wait_until

PATH = "/v1/models/arrival_delay:predict"
BODY = {"instances": [EXAMPLE]}
MAX_REQUESTS = 3


@contextmanager
def serving(folder: Path, online_store: Path, **settings: str) -> Iterator[Server]:
    graph = sum_graph(6, 2)
    publish(folder, make_manifest(graph), graph)
    limits = {
        "ZEROSKEW_MAX_REQUESTS": str(MAX_REQUESTS),
        "ZEROSKEW_MAX_BODY_BYTES": "200000",
    }
    server = Server(folder, online_store, **(limits | settings))
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def locked(online_store: Path) -> Iterator[None]:
    """Keep every read of the store waiting."""
    with closing(sqlite3.connect(online_store, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        yield
        writer.execute("ROLLBACK")


def post(server: Server, **options: Any) -> httpx.Response:
    return httpx.post(server.url + PATH, json=BODY, timeout=PATIENCE_SEC, **options)


def raw(server: Server) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.settimeout(PATIENCE_SEC)
    return connection


HEAD = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def begin_body(connection: socket.socket, n_sent: int, n_declared: int = 100_000) -> None:
    head = f"{HEAD}Content-Length: {n_declared}\r\n\r\n"
    connection.sendall(head.encode() + b" " * n_sent)


def test_what_is_too_much_is_refused_at_once_and_the_rest_is_answered(
    tmp_path: Path, online_store: Path
) -> None:
    with serving(tmp_path, online_store) as server, ThreadPoolExecutor(MAX_REQUESTS) as clients:
        with locked(online_store):
            waiting = [clients.submit(post, server) for _ in range(MAX_REQUESTS)]
            refused = _until_refused(server)
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["code"] == refused.json()["type"].split(":")[-1]
            assert refused.json()["code"] == "too_many_requests"
            # The connection goes on, and health is always answered.
            with httpx.Client(base_url=server.url, timeout=PATIENCE_SEC) as client:
                assert client.post(PATH, json=BODY).status_code == 429
                assert client.get("/livez").status_code == 200
                assert client.post(PATH, json=BODY).status_code == 429
        assert_answered(waiting)
        assert post(server).status_code == 200


def assert_answered(waiting: Sequence[Future[httpx.Response]]) -> None:
    """Check the clients that came first; those who asked in vain took some of their places."""
    statuses = {one.result().status_code for one in waiting}
    assert 200 in statuses
    assert statuses <= {200, 429}


def _until_refused(server: Server) -> httpx.Response:
    """Ask until the others are under way."""
    deadline = time.monotonic() + PATIENCE_SEC
    while time.monotonic() < deadline:
        try:
            answer = httpx.post(server.url + PATH, json=BODY, timeout=0.5)
        except httpx.ReadTimeout:
            continue
        if answer.status_code == 429:
            return answer
    raise AssertionError("Got no refusal.")


@pytest.mark.parametrize("n_sent", [0, 10, 70_000])
def test_bodies_that_drip_keep_nobody_out(tmp_path: Path, online_store: Path, n_sent: int) -> None:
    settings = {"ZEROSKEW_BODY_TIMEOUT_SEC": "1"}
    with serving(tmp_path, online_store, **settings) as server, ExitStack() as stack:
        slow = [stack.enter_context(raw(server)) for _ in range(10 * MAX_REQUESTS)]
        for connection in slow:
            begin_body(connection, n_sent)
        # On a busy machine a good body, too, may come too late.
        for _ in range(5):
            wait_until(lambda: post(server).status_code == 200)
        for connection in slow:
            assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_large_body_is_refused_too_when_it_has_arrived(
    tmp_path: Path, online_store: Path
) -> None:
    with serving(tmp_path, online_store) as server, ThreadPoolExecutor(MAX_REQUESTS) as clients:
        with raw(server) as connection, locked(online_store):
            begin_body(connection, 80_000)
            waiting = [clients.submit(post, server) for _ in range(MAX_REQUESTS)]
            _until_refused(server)
            connection.sendall(b" " * 20_000)
            assert connection.recv(1000).startswith(b"HTTP/1.1 429 ")
        assert_answered(waiting)


def test_a_prediction_that_takes_too_long_is_given_up(tmp_path: Path, online_store: Path) -> None:
    settings = {"ZEROSKEW_REQUEST_TIMEOUT_SEC": "0.2"}
    with serving(tmp_path, online_store, **settings) as server:
        with locked(online_store):
            late = post(server)
        assert (late.status_code, late.json()["code"]) == (503, "deadline_exceeded")
        assert late.headers["retry-after"] == "1"
        wait_until(lambda: post(server).status_code == 200)


def test_connections_are_bounded(tmp_path: Path, online_store: Path) -> None:
    with (
        serving(tmp_path, online_store, ZEROSKEW_MAX_CONNECTIONS="3") as server,
        ExitStack() as stack,
    ):
        for _ in range(3):
            stack.enter_context(raw(server))
        with raw(server) as surplus:
            assert surplus.recv(1000).startswith(b"HTTP/1.1 429 ")
            while surplus.recv(1000):
                pass


def test_pipelined_requests_are_answered_in_order(tmp_path: Path, online_store: Path) -> None:
    live = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serving(tmp_path, online_store) as server, raw(server) as connection:
        missing = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n"
        connection.sendall(live + missing + b"ab")
        time.sleep(0.2)
        connection.sendall(b"c" + live)
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 3 or not answers.endswith(b"}"):
            answers += connection.recv(10_000)
        statuses = [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200", b"404", b"200"]


def test_a_refused_connections_requests_can_be_pipelined(
    tmp_path: Path, online_store: Path
) -> None:
    with (
        serving(tmp_path, online_store, ZEROSKEW_MAX_REQUESTS="1") as server,
        ThreadPoolExecutor(1) as clients,
        raw(server) as connection,
    ):
        with locked(online_store):
            waiting = clients.submit(post, server)
            _until_refused(server)
            request = f"{HEAD}Content-Length: 2\r\n\r\n{{}}".encode()
            connection.sendall(request * 3)
            answers = b""
            while answers.count(b"HTTP/1.1 429 ") < 3:
                answers += connection.recv(10_000)
        assert waiting.result().status_code in (200, 429)


def test_whole_requests_are_refused_between_others_and_the_connection_goes_on(
    tmp_path: Path, online_store: Path
) -> None:
    with (
        serving(tmp_path, online_store, ZEROSKEW_MAX_REQUESTS="1") as server,
        ThreadPoolExecutor(1) as clients,
        raw(server) as connection,
    ):
        body = httpx.Request("POST", server.url, json=BODY).content
        head = f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode()
        with locked(online_store):
            waiting = clients.submit(post, server)
            _until_refused(server)
            for pieces in ([head + body], [head, body], [head + body], [head[:9], head[9:] + body]):
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(0.05)
                assert connection.recv(10_000).startswith(b"HTTP/1.1 429 ")
        assert waiting.result().status_code in (200, 429)

        def is_answered() -> bool:
            connection.sendall(head + body)
            return connection.recv(10_000).startswith(b"HTTP/1.1 200 ")

        wait_until(is_answered, what="a place for a request")
