"""The page at ``/``, for people and for programs."""

import re
import shlex
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from api.main import create_app
from tests.api.v1.test_predict import EXAMPLE_SCORE
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.service_process import Server
from tests.support.settings import make_settings
from zeroskew.contract.manifest import Metric

GRAPH = sum_graph(6, 2)
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
HOSTILE = "</p><script>alert(1)</script><img src=x onerror='alert(2)'>"


class Outline(HTMLParser):
    """Notes a page's elements, their attributes and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_program_reads_what_is_served(client: AppClient) -> None:
    shown = client.get("/").json()
    assert shown["status"] == "alive"  # what KServe's V1 client asks `/` for
    delay, classes, late = shown["models"]
    names = [model["name"] for model in (delay, classes, late)]
    assert names == ["arrival_delay", "delay_class", "is_late"]
    assert delay["description"] == "How late will it be?"
    assert [(one["version"], one["aliases"]) for one in delay["versions"]] == [
        (1, ["champion"]),
        (2, ["challenger"]),
    ]
    assert delay["versions"][0]["metrics"] == {"mae": {"value": 1.0, "low": 0.9, "high": 1.1}}
    answer = client.post(delay["predict"], json=delay["example"])
    assert answer.json()["predictions"] == [{"value": EXAMPLE_SCORE}]
    for version in delay["versions"]:
        assert client.post(version["predict"], json=delay["example"]).status_code == 200
    for address in shown["links"]:
        assert client.get(address).status_code == 200, address


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (BROWSER["accept"], "text/html; charset=utf-8"),
        ("text/html", "text/html; charset=utf-8"),
        ("application/json, text/html", "text/html; charset=utf-8"),
        ("application/json, text/html;q=0.9", "application/json"),
        ("text/html;q=0, */*", "application/json"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("image/png", "application/json"),
        ("", "application/json"),
        (";;q=,,", "application/json"),
    ],
)
def test_html_is_for_those_who_ask_for_it(client: AppClient, accept: str, kind: str) -> None:
    response = client.get("/", headers={"accept": accept})
    assert (response.status_code, response.headers["content-type"]) == (200, kind)
    assert response.headers["vary"] == "Accept, Accept-Encoding"


def test_the_page_runs_nothing_and_loads_nothing(client: AppClient) -> None:
    response = client.get("/", headers=BROWSER)
    outline = Outline(response.text)
    assert not outline.elements & {"script", "img", "iframe", "form", "base", "object"}
    assert not {name for name in outline.attributes if name.startswith("on") or name == "src"}
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert client.get("/").headers.get("content-security-policy") is None


def test_what_the_registry_says_is_shown_as_text(tmp_path: Path, online_store: Path) -> None:
    manifest = make_manifest(
        GRAPH,
        description=HOSTILE,
        example=EXAMPLE | {"origin": "O'Hare <b>&"},
        metrics={"<i>mae</i>": Metric(value=1, low=0, high=2)},
    )
    publish(tmp_path, manifest, GRAPH)
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        host = {"host": "a.localhost"}
        page = client.get("/", headers=BROWSER | host).text
    outline = Outline(page)
    assert not outline.elements & {"script", "img", "b", "i"}
    assert HOSTILE in outline.text
    assert "<i>mae</i>" in outline.text
    assert "http://a.localhost/v1/models/arrival_delay:predict" in outline.text


@pytest.mark.parametrize("host", ["<script>x</script>", '"><img src=x>', "'; rm -rf ~ #"])
def test_what_the_caller_says_is_shown_as_text(client: AppClient, host: str) -> None:
    # Such a host is refused before the page is made, and on the way to it.
    response = client.get("/", headers=BROWSER | {"host": host})
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    response = client.get("/", headers=BROWSER | {"host": f"localhost:{host}"})
    assert response.status_code == 200
    assert not Outline(response.text).elements & {"script", "img"}
    commands = re.findall(r"<pre>(.*?)</pre>", response.text, re.DOTALL)
    for command in commands:
        words = shlex.split(unescape(command).replace("\\\n", ""))
        assert (words[:2], len(words)) == (["curl", "-s"], 7)


def test_without_a_model_the_page_says_what_to_do(tmp_path: Path, online_store: Path) -> None:
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        assert client.get("/").json()["models"] == []
        assert "Publish one" in client.get("/", headers=BROWSER).text


def test_a_model_without_a_champion_is_asked_by_its_version(
    tmp_path: Path, online_store: Path
) -> None:
    publish(tmp_path, make_manifest(GRAPH), GRAPH, alias="challenger")
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        (model,) = client.get("/").json()["models"]
        assert model["predict"] == "/v1/models/arrival_delay/versions/1:predict"
        assert client.post(model["predict"], json=model["example"]).status_code == 200


def test_the_command_on_the_page_works_as_it_is(published: Path, online_store: Path) -> None:
    server = Server(published, online_store)
    page = subprocess.run(
        ["curl", "-s", "-H", "Accept: text/html", server.url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    command = unescape(re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)[0])
    answer = subprocess.run(
        ["sh", "-c", command], check=True, capture_output=True, text=True
    ).stdout
    assert f'"predictions":[{{"value":{EXAMPLE_SCORE}}}]' in answer
    server.stop()
