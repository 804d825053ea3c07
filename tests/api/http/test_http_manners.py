"""HEAD, OPTIONS, conditional GET, compression and traces, at every address."""

import hashlib
import re
import socket
from pathlib import Path

import httpx
import pytest

from api.http.tracing import parse_traceparent
from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.service_process import Server
from tests.support.settings import make_settings
from tests.support.waiting import PATIENCE_SEC

GRAPH = sum_graph(6, 2)
PREDICT = "/v1/models/arrival_delay:predict"
CHAMPION = "/v1/models/arrival_delay/labels/champion"
READ = "GET, HEAD, OPTIONS"
DOCUMENTS = [
    "/",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/v1/models",
    "/v1/models/arrival_delay",
    "/v1/models/arrival_delay/metadata",
    "/v1/models/arrival_delay/versions/1",
    "/v1/models/arrival_delay/versions/1/metadata",
    CHAMPION,
    "/v1/models/arrival_delay/labels/champion/metadata",
]
PLAIN = {"accept-encoding": "identity"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize("path", [*DOCUMENTS, "/livez", "/readyz"])
def test_head_has_the_headers_of_get_and_no_body(client: AppClient, path: str) -> None:
    get, head = client.get(path), client.request("HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    for headers in (get.headers, head.headers):
        del headers["x-request-id"]
    assert head.headers == get.headers


def test_head_of_what_is_not_there_has_no_body_either(client: AppClient) -> None:
    head = client.request("HEAD", "/v1/models/nope")
    assert (head.status_code, head.content) == (404, b"")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        *[(path, READ) for path in [*DOCUMENTS, "/livez", "/readyz"] if path != CHAMPION],
        (CHAMPION, "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("/static-offline-docs/swagger-ui.css", "GET, HEAD, OPTIONS"),
        (PREDICT, "OPTIONS, POST"),
        ("/v1/models/arrival_delay/labels/champion:predict", "OPTIONS, POST"),
    ],
)
def test_the_methods_of_an_address_are_told(client: AppClient, path: str, methods: str) -> None:
    options = client.request("OPTIONS", path)
    assert (options.status_code, options.headers["allow"]) == (204, methods)
    for method in {"DELETE", "GET", "PATCH", "POST"} - set(methods.split(", ")):
        refused = client.request(method, path)
        assert (refused.status_code, refused.headers["allow"]) == (405, methods)
        assert refused.json()["code"] == "method_not_allowed"


def test_an_unknown_address_has_no_methods(client: AppClient) -> None:
    assert client.request("OPTIONS", "/nope").status_code == 404


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_document_is_sent_again_only_when_it_changed(client: AppClient, path: str) -> None:
    first = client.get(path, headers=PLAIN)
    etag = first.headers["etag"]
    # Where an alias points has a revision, which comes first.
    assert re.sub(r'^"r\d+-', '"', etag) == f'"{hashlib.sha256(first.content).hexdigest()}"'
    assert first.headers["cache-control"] == "no-cache"
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = client.get(path, headers=PLAIN | {"if-none-match": known})
        assert (again.status_code, again.content) == (304, b""), known
        assert again.headers["etag"] == etag
    for unknown in ('"other"', etag.strip('"'), ""):
        again = client.get(path, headers=PLAIN | {"if-none-match": unknown})
        assert (again.status_code, again.content) == (200, first.content), unknown


@pytest.mark.parametrize(
    ("accept", "is_compressed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0, br", False),
        ("gzip; q=0.0", False),
        ("br", False),
        ("identity", False),
    ],
)
def test_a_large_document_is_compressed_for_those_who_take_it(
    client: AppClient, accept: str, is_compressed: bool
) -> None:
    path = "/v1/models/arrival_delay/versions/1"
    plain = client.get(path, headers=PLAIN)
    response = client.get(path, headers={"accept-encoding": accept})
    assert response.content == plain.content
    assert ("content-encoding" in response.headers) is is_compressed
    assert (response.headers["etag"] != plain.headers["etag"]) is is_compressed
    assert response.headers["vary"] == "Accept-Encoding"
    size = int(response.headers["content-length"])
    assert (size < len(plain.content) / 2) is is_compressed
    etag = {"if-none-match": response.headers["etag"]}
    assert client.get(path, headers={"accept-encoding": accept} | etag).status_code == 304


def test_a_small_document_is_not_worth_compressing(client: AppClient) -> None:
    response = client.get("/v1/models/is_late", headers={"accept-encoding": "gzip"})
    assert len(response.content) < 1024
    assert "content-encoding" not in response.headers


def test_the_openapi_document_changes_with_the_models_and_only_then(
    tmp_path: Path, online_store: Path
) -> None:
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        first = client.get("/openapi.json")
        etag = {"if-none-match": first.headers["etag"]}
        assert client.get("/openapi.json", headers=etag).status_code == 304
        manifest = make_manifest(GRAPH, model="another_delay")
        publish(tmp_path, manifest, GRAPH, alias="challenger")
        path = "/v1/models/another_delay/labels/challenger:predict"
        assert client.post(path, json={"instances": [EXAMPLE]}).status_code == 200
        second = client.get("/openapi.json", headers=etag)
        assert second.status_code == 200
        assert path in second.json()["paths"]
        assert path not in first.json()["paths"]


def test_the_openapi_document_is_the_same_in_every_process(
    published: Path, online_store: Path
) -> None:
    contents = []
    for _ in range(2):
        with AppClient(create_app(make_settings(published, online_store))) as client:
            contents.append(client.get("/openapi.json").content)
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-00", TRACE),
        (f"cc-{TRACE}-00f067aa0ba902b7-01-what-comes-later", TRACE),
        (f"cc-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-01-more", None),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", None),
        (f"cc-{TRACE}-00f067aa0ba902b7-01more", None),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-00f067aa0ba902b7-1", None),
        (f"00-{TRACE}-00f067aa0ba902b-01", None),
        (f"00-{TRACE[1:]}-00f067aa0ba902b7-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-00f067aa0ba902b7-01\n", None),
        (f" 00-{TRACE}-00f067aa0ba902b7-01", None),
        ("", None),
    ],
)
def test_a_traceparent_is_read_strictly(value: str, trace: str | None) -> None:
    assert parse_traceparent(value.encode()) == trace


def test_log_lines_carry_the_callers_trace(published: Path, online_store: Path) -> None:
    server = Server(published, online_store)
    valid = f"00-{TRACE}-00f067aa0ba902b7-01"
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SEC) as client:
        for headers in (
            [("traceparent", valid)],
            [("traceparent", "nonsense")],
            [("traceparent", valid), ("traceparent", valid)],
            [],
        ):
            response = client.get("/livez", headers=headers)
            assert response.status_code == 200
            assert "traceparent" not in response.headers
    server.stop()
    finished = [line for line in server.log if line["event"] == "request_finished"]
    assert [line.get("trace_id") for line in finished] == [TRACE, None, None, None]


def test_a_request_behind_another_does_not_carry_its_trace(
    published: Path, online_store: Path
) -> None:
    server = Server(published, online_store)
    plain = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    traced = plain[:-2] + f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n\r\n".encode()
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), PATIENCE_SEC) as connection:
        connection.sendall(traced + plain)
        answers = b""
        while answers.count(b'"ok"') < 2:
            answers += connection.recv(4096)
    server.stop()
    finished = [line for line in server.log if line["event"] == "request_finished"]
    assert [line.get("trace_id") for line in finished] == [TRACE, None]


def test_the_id_of_a_failure_is_in_the_log(tmp_path: Path, online_store: Path) -> None:
    graph = sum_graph(6, 2, output="exponential")
    publish(tmp_path, make_manifest(graph), graph)
    server = Server(tmp_path, online_store)
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SEC) as client:
        body = {"instances": [EXAMPLE | {"distance": 1e6}]}
        response = client.post(PREDICT, json=body)
        assert response.status_code == 500
    server.stop()
    (line,) = [line for line in server.log if line["event"] == "request_failed"]
    assert line["request_id"] == response.json()["request_id"]
    assert line["code"] == response.json()["code"] == "non_finite_score"


def test_a_failing_probe_is_one_line_in_the_log(tmp_path: Path, online_store: Path) -> None:
    server = Server(tmp_path, online_store)
    before = len(server.log)
    for path in ("/readyz", "/v2/health/ready"):
        answer = httpx.get(f"{server.url}{path}", timeout=PATIENCE_SEC)
        assert answer.status_code == 503
    server.stop()
    lines = [line for line in server.log[before:] if "request_id" in line]
    told = [(line["path"], line["level"], line["status"], line["code"]) for line in lines]
    assert told == [
        ("/readyz", "warning", 503, "unavailable"),
        ("/v2/health/ready", "warning", 503, "unavailable"),
    ]
    assert all("exception" not in line for line in lines)
    assert all(str(line["reason"]).startswith("No model is loaded") for line in lines)
