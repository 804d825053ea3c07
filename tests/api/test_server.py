"""A real server process: it starts, answers, limits what it reads, and stops when told."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import pytest

from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.service_process import ROOT, Server
from tests.support.waiting import PATIENCE_SEC, wait_until_ready


def start_refused(settings: Mapping[str, str], *arguments: str) -> CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api", *arguments],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ZEROSKEW_CLOCK_FILE", "none.bin", "ZEROSKEW_CLOCK_FILE: Got no clock in none.bin"),
        ("ZEROSKEW_DATABASE_URL", "sqlite:///README.md", "(file is not a database)"),
        ("ZEROSKEW_DATABASE_URL", "sqlite:///docs", "(unable to open database file)"),
        ("ZEROSKEW_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/x", "ZEROSKEW_DATABASE_URL"),
        ("ZEROSKEW_REQUIRE_KEYS", "true", "Got no valid API key in the database"),
    ],
)
def test_a_start_that_is_refused_says_why_without_a_stack(
    tmp_path: Path, online_store: Path, name: str, value: str, said: str
) -> None:
    places = {
        "ZEROSKEW_DATABASE_URL": f"sqlite:///{tmp_path}/zeroskew.db",
        "ZEROSKEW_ONLINE_STORE": f"sqlite:///{online_store}",
        "ZEROSKEW_PORT": "0",
    }
    done = start_refused({**places, name: value})
    printed = done.stdout + done.stderr
    assert done.returncode == 3, printed
    assert said in printed
    assert "Traceback" not in printed
    assert "secret" not in printed


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registry")
    graph = sum_graph(6, 2)
    publish(folder, make_manifest(graph), graph)
    return folder


@pytest.fixture(scope="module")
def server(registry: Path, online_store: Path) -> Iterator[Server]:
    running = Server(registry, online_store)
    yield running
    running.kill()


def test_a_server_answers_and_stops_cleanly(registry: Path, online_store: Path) -> None:
    server = Server(registry, online_store, ZEROSKEW_BODY_TIMEOUT_SEC="2")
    try:
        _ask_and_stop(server)
    finally:
        server.kill()


def _ask_and_stop(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SEC) as client:
        assert client.get("/readyz").status_code == 200
        headers = {"x-request-id": "test-1"}
        path = "/v1/models/arrival_delay:predict"
        answer = client.post(path, json={"instances": [EXAMPLE]}, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["as_of"] == "2013-10-01T12:00:00Z"
        assert "server" not in answer.headers
        json_body = {"content-type": "application/json"}
        large = client.post(path, content=(b" " * 1000 for _ in range(3)), headers=json_body)
        assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    _send_half_a_body(server)
    assert server.stop() in (0, -signal.SIGTERM)
    lines = [line for line in server.log if line["event"] == "request_finished"]
    assert [line["status"] for line in lines] == [200, 200, 413, 408]
    assert lines[1]["request_id"] == "test-1"
    assert server.log[-1]["event"].startswith("Finished server process")  # type: ignore[attr-defined]  # text


def test_a_key_that_ends_it_leaves_no_traceback(registry: Path, online_store: Path) -> None:
    server = Server(registry, online_store)
    # Its log is read line by line, and each has to be JSON.
    assert server.stop(signal.SIGINT) == 0
    assert server.log[-1]["event"].startswith("Finished server process")  # type: ignore[attr-defined]  # text


def _send_half_a_body(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/models/arrival_delay:predict HTTP/1.1\r\nHost: localhost\r\n"
            b'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"instances": '
        )
        answer = connection.recv(2000)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nconnection: close\r\n" in answer.lower()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ZEROSKEW_CLOCK", "yesterday"),
        ("ZEROSKEW_CLOCK", "9999-12-31T23:59:59-23:59"),
        ("ZEROSKEW_PORT", "99999"),
        ("ZEROSKEW_CORS_ORIGINS", "https://app.example/"),
        ("ZEROSKEW_CORS_ORIGINS", "app.example"),
        ("ZEROSKEW_LOG_MODELS", "{fraud: off}"),
        ("ZEROSKEW_LOG_MODELS", "5"),
    ],
)
def test_a_refused_setting_is_named_without_a_stack(name: str, value: str) -> None:
    done = start_refused({name: value})
    assert done.returncode == 2
    assert done.stderr.startswith(f"{name}: Got {value}")
    assert "Traceback" not in done.stderr


def test_an_argument_that_means_nothing_is_refused() -> None:
    done = start_refused({"ZEROSKEW_PORT": "nowhere"}, "--port", "9000")
    assert done.returncode == 2
    assert done.stderr.startswith("Got --port 9000, but expected nothing or `settings`")


def test_a_folder_of_counts_that_cannot_be_made_is_refused_in_a_sentence() -> None:
    done = start_refused({"ZEROSKEW_METRICS_DIR": "README.md", "ZEROSKEW_WORKERS": "2"})
    assert done.returncode == 2
    assert done.stderr.startswith("ZEROSKEW_METRICS_DIR: Got README.md (")
    assert "Traceback" not in done.stderr


def test_a_setting_that_is_one_letter_beside_another_is_refused() -> None:
    done = start_refused({"ZEROSKEW_REQUIRE_KEY": "true", "ZEROSKEW_OUR_TEAM": "fraud"})
    assert done.returncode == 2
    sentence = "Got a setting that nobody reads, but expected ZEROSKEW_REQUIRE_KEYS"
    assert done.stderr == f"ZEROSKEW_REQUIRE_KEY: {sentence}\n"


@pytest.mark.parametrize(
    "address",
    ["mysql://u:secret@x/y", "sqlite:///", "redis://u:secret@host:port", "redis+cluster://"],
)
def test_a_refused_address_of_the_store_is_explained_without_its_password(address: str) -> None:
    done = start_refused({"ZEROSKEW_ONLINE_STORE": address})
    assert done.returncode == 2
    assert "ZEROSKEW_ONLINE_STORE" in done.stderr
    assert "expected" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_headers_that_do_not_arrive_close_their_connection(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    whole = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    beginnings = {"nothing": b"", "half": whole[:20], "a second half": whole + whole[:20]}
    with ExitStack() as stack:
        connections = {
            name: stack.enter_context(socket.create_connection((host, int(port))))
            for name in [*beginnings, "dripping"]
        }
        for name, sent in beginnings.items():
            connections[name].sendall(sent)
        assert _drip_until_closed(connections["dripping"]) > 4
        for name, connection in connections.items():
            connection.settimeout(PATIENCE_SEC)
            answer = b""
            with suppress(ConnectionError):
                while received := connection.recv(1000):
                    answer += received
            assert answer.startswith(b"HTTP/1.1 200 ") is (name == "a second half"), name


def _drip_until_closed(connection: socket.socket) -> int:
    """Send a header byte by byte; return how many halves of a second it was listened to."""
    connection.sendall(b"GET /livez HTTP/1.1\r\nX-Long: ")
    for number in range(2 * int(PATIENCE_SEC)):
        time.sleep(0.5)
        try:
            connection.sendall(b"a")
        except ConnectionError:
            return number
    raise AssertionError("Got a connection that stays open, but expected its end.")


def test_headers_in_pieces_are_answered(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        for _ in range(3):
            for piece in (b"GET /livez HTTP/1.1\r\n", b"Host: localhost\r\n", b"\r\n"):
                connection.sendall(piece)
                time.sleep(0.05)
            assert connection.recv(2000).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "head",
    [
        b"X-Long: " + b"a" * 70_000,
        b"".join(b"X-%d: a\r\n" % number for number in range(101))[:-2],
        b"".join(b"X-%d: %b\r\n" % (number, b"a" * 10_000) for number in range(7))[:-2],
    ],
    ids=["one", "many", "together"],
)
@pytest.mark.parametrize("end", [b"\r\n\r\n", b""], ids=["whole", "unfinished"])
def test_too_many_headers_are_refused(server: Server, head: bytes, end: bytes) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SEC) as connection:
        request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + head + end
        with suppress(OSError):
            for start in range(0, len(request), 9_000):
                connection.sendall(request[start : start + 9_000])
                time.sleep(0.005)
            if not end:
                connection.sendall(b"b" * 70_000)
        answer = b""
        with suppress(ConnectionResetError):
            while data := connection.recv(10_000):
                answer += data
    assert answer.startswith(b"HTTP/1.1 431 ") or (not answer and not end)
    # On a busy machine the server may take a good header for one that does not arrive.
    wait_until_ready(server.url)


def test_headers_of_a_usual_size_are_read(server: Server) -> None:
    headers = {f"X-{number}": "a" * 600 for number in range(80)}
    for _ in range(2):
        assert (
            httpx.get(f"{server.url}/livez", headers=headers, timeout=PATIENCE_SEC).status_code
            == 200
        )
