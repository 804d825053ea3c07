"""Pages of other origins: shut out unless named, and then let in at every address."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE
from tests.support.settings import make_settings
from zeroskew.contract.settings import Settings

PREDICT = "/v1/models/arrival_delay:predict"
ADDRESSES = ["/", "/v1/models", "/v1/models/nope", PREDICT, "/v2/models/arrival_delay/infer"]
ORIGIN = "https://app.example"
ASKING = {"origin": ORIGIN}
PREFLIGHT = ASKING | {
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type,traceparent",
}


@pytest.fixture(scope="module")
def open_client(published: Path, online_store: Path) -> Iterator[AppClient]:
    settings = make_settings(published, online_store, cors_origins=f"{ORIGIN}, http://[::1]:3000")
    assert settings.cors_origins == (ORIGIN, "http://[::1]:3000")
    with AppClient(create_app(settings)) as running:
        yield running


def cors_headers(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("access-control")}


@pytest.mark.parametrize("path", ADDRESSES)
def test_no_other_origin_is_let_in_by_default(client: AppClient, path: str) -> None:
    for method, headers in (("GET", ASKING), ("POST", ASKING), ("OPTIONS", PREFLIGHT)):
        assert not cors_headers(dict(client.request(method, path, headers=headers).headers))


@pytest.mark.parametrize("path", ADDRESSES)
def test_a_named_origin_is_let_in(open_client: AppClient, path: str) -> None:
    preflight = open_client.request("OPTIONS", path, headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in preflight.headers["access-control-allow-methods"]
    for method in ("GET", "POST"):
        answer = open_client.request(method, path, headers=ASKING)
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers
        assert "Origin" in answer.headers["vary"]
        assert answer.headers["x-request-id"]


def test_a_named_origin_gets_its_score(open_client: AppClient) -> None:
    answer = open_client.post(PREDICT, json={"instances": [EXAMPLE]}, headers=ASKING)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize("origin", ["https://app.example.evil", "http://app.example", "null"])
def test_another_origin_stays_outside(open_client: AppClient, origin: str) -> None:
    headers = PREFLIGHT | {"origin": origin}
    assert open_client.request("OPTIONS", PREDICT, headers=headers).status_code == 400
    answer = open_client.post(PREDICT, json={"instances": [EXAMPLE]}, headers={"origin": origin})
    assert "access-control-allow-origin" not in answer.headers


HOSTILE: list[dict[str, str]] = [
    {"origin": "https://evil.example"},
    {"origin": "http://localhost:8001"},
    {"origin": "null"},
    {"origin": "http://localhost.evil.example"},
    {"origin": "http://localhost@evil.example"},
    {"origin": ""},
    {"origin": "http://[::1"},
    {"origin": "http://localhost", "sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site", "origin": "http://localhost:3000"},
    {"sec-fetch-site": "anything"},
]
WRITES = [
    ("POST", PREDICT),
    ("POST", "/v2/models/arrival_delay/infer"),
    ("POST", "/v1/feedback"),
    ("POST", "/v1/models/arrival_delay/versions/1:deprecate"),
    ("POST", "/v1/models/arrival_delay/versions/1:retire"),
    ("PUT", "/v1/models/arrival_delay/labels/champion"),
    ("DELETE", "/v1/models/arrival_delay/labels/challenger"),
    ("PUT", "/v1/models/arrival_delay/rollout"),
    ("POST", "/feast/push"),
    ("POST", "/feast/write-to-online-store"),
    ("POST", "/feast/get-online-features"),
]


@pytest.mark.parametrize("headers", HOSTILE, ids=str)
def test_no_page_of_another_site_writes(client: AppClient, headers: dict[str, str]) -> None:
    before = client.get("/v1/models/arrival_delay").json()
    for method, path in WRITES:
        for content_type in ("", "text/plain", "application/json"):
            answer = client.request(
                method, path, content=b"{}", headers={**headers, "content-type": content_type}
            )
            told = answer.json()
            assert answer.status_code == 403, path
            assert told["error"].startswith("Got a change asked for by a page of ")
            assert len(told["error"]) < 200
            assert path.startswith("/v2/") or told["code"] == "cross_site_request"
    assert client.get("/v1/models/arrival_delay").json() == before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://localhost"},
        {"sec-fetch-site": "same-origin", "origin": "http://localhost"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        # Behind a proxy that names the service by another name than its page has.
        {"sec-fetch-site": "same-origin", "origin": "https://scores.example"},
    ],
    ids=str,
)
def test_the_services_own_pages_and_programs_write(
    client: AppClient, headers: dict[str, str]
) -> None:
    assert client.post(PREDICT, json={"instances": [EXAMPLE]}, headers=headers).status_code == 200


def test_a_named_origin_writes_whatever_its_site_is(open_client: AppClient) -> None:
    headers = ASKING | {"sec-fetch-site": "cross-site"}
    answer = open_client.post(PREDICT, json={"instances": [EXAMPLE]}, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("headers", HOSTILE, ids=str)
def test_any_page_may_look(client: AppClient, headers: dict[str, str]) -> None:
    # The browser keeps the answer from it.
    assert client.get("/v1/models", headers=headers).status_code == 200


FOREIGN_HOSTS = [
    "evil.example",
    "localhost.evil.example",
    "0.0.0.0:8000",
    "10.0.0.1",
    "a@localhost",
]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_on_this_machine_no_other_name_is_answered(client: AppClient, host: str) -> None:
    # A page whose name leads here is of one origin with the service, to the browser.
    headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    for method, path in [*WRITES, ("GET", "/v1/models"), ("GET", "/docs")]:
        answer = client.request(method, path, content=b"{}", headers=headers)
        assert (answer.status_code, path) == (403, path)
        assert answer.json()["error"].startswith(f"Got a request for the host '{host}', but ")


@pytest.mark.parametrize("host", ["LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000", "a.localhost."])
def test_this_machine_has_many_names(client: AppClient, host: str) -> None:
    assert client.get("/v1/models", headers={"host": host}).status_code == 200


def test_other_names_are_answered_where_they_are_set(published: Path, online_store: Path) -> None:
    settings = make_settings(published, online_store, allowed_hosts="Scores.example, 10.0.0.1")
    with AppClient(create_app(settings)) as named:
        for host in ("scores.example:80", "10.0.0.1", "localhost"):
            assert named.get("/v1/models", headers={"host": host}).status_code == 200
        assert named.get("/v1/models", headers={"host": "other.example"}).status_code == 403


def test_what_is_no_preflight_is_answered_as_without_origins(open_client: AppClient) -> None:
    options = open_client.request("OPTIONS", PREDICT)
    assert (options.status_code, options.headers["allow"]) == (204, "OPTIONS, POST")


def test_any_origin_may_be_let_in() -> None:
    assert Settings(cors_origins="*").cors_origins == ("*",)
    assert Settings().cors_origins == ()
