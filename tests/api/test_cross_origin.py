"""Pages of other origins: shut out unless named, and then let in at every address."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.main import create_app
from api.settings import Settings
from tests.api.conftest import make_settings
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE

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


def test_what_is_no_preflight_is_answered_as_without_origins(open_client: AppClient) -> None:
    options = open_client.request("OPTIONS", PREDICT)
    assert (options.status_code, options.headers["allow"]) == (204, "OPTIONS, POST")


def test_any_origin_may_be_let_in() -> None:
    assert Settings(cors_origins="*").cors_origins == ("*",)
    assert Settings().cors_origins == ()
