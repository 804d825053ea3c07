"""What a page of another site can do to a service on the same machine, tried in a real browser."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page

from tests.api.conftest import online_store  # noqa: F401 - a fixture
from tests.support.chromium import open_browser_that_resolves
from tests.support.manifests import make_manifest, publish, sum_graph
from tests.support.service_process import Server
from tests.support.waiting import PATIENCE_SEC

RETIRE = "/v1/models/arrival_delay/versions/2:retire"
PREDICT = "/v1/models/arrival_delay:predict"
REBOUND = "rebound.example"
WAYS = {
    # A blob without a type goes out without a content type, and without asking first.
    "fetch without a type": "fetch(URL, {method: 'POST', mode: 'no-cors', body: new Blob(['{}'])})",
    "fetch without a body": "fetch(URL, {method: 'POST', mode: 'no-cors'})",
    "fetch of text": "fetch(URL, {method: 'POST', mode: 'no-cors', body: '{}'})",
    "fetch of JSON": """fetch(URL, {method: 'POST', body: '{}',
                        headers: {'content-type': 'application/json'}})""",
    "beacon": "navigator.sendBeacon(URL, new Blob(['{}']))",
    "request of old": """const x = new XMLHttpRequest();
                         x.open('POST', URL); x.send(new Blob(['{}']));""",
    "form": """document.body.innerHTML = '<iframe name=f></iframe>' +
                   '<form method=post target=f></form>';
               document.forms[0].action = URL; document.forms[0].submit();""",
    "form without its origin": """
        document.body.innerHTML = '<iframe sandbox="allow-forms allow-scripts"></iframe>';
        document.querySelector('iframe').srcdoc =
            '<form method=post></form><script>document.forms[0].action = "' + URL +
            '"; document.forms[0].submit()<' + '/script>';""",
}


class _BlankPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><body></body>")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def other_site() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _BlankPage) as site:
        thread = Thread(target=site.serve_forever)
        thread.start()
        try:
            yield site.server_port
        finally:
            site.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory, online_store: Path) -> Iterator[Server]:  # noqa: F811 - as above
    folder = tmp_path_factory.mktemp("attacked")
    graph = sum_graph(6, 2)
    publish(folder, make_manifest(graph), graph)
    publish(folder, make_manifest(graph, description="Another."), graph, alias=None)
    running = Server(folder, online_store)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with open_browser_that_resolves(REBOUND) as browser:
        context = browser.new_context()
        yield context.new_page()
        context.close()


def state_of(server: Server) -> str:
    versions = httpx.get(f"{server.url}/v1/models/arrival_delay", timeout=PATIENCE_SEC).json()[
        "versions"
    ]
    return str(next(one["state"] for one in versions if one["version"] == 2))


def requests_that_came(server: Server) -> list[tuple[object, object]]:
    return [
        (line["method"], line["status"])
        for line in server.log
        if line["event"] == "request_finished" and line["path"] == RETIRE
    ]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "other.localhost"])
def test_a_page_of_another_origin_cannot_write(page: Page, own_server: Server, host: str) -> None:
    with other_site() as port:
        for way, script in WAYS.items():
            page.goto(f"http://{host}:{port}/")
            n_before = len(requests_that_came(own_server))
            page.evaluate(f"() => {{ const URL = '{own_server.url}{RETIRE}'; {script} }}")
            until = time.monotonic() + PATIENCE_SEC
            while not (came := requests_that_came(own_server)[n_before:]):
                assert time.monotonic() < until, way
                page.wait_for_timeout(20)
            # In JSON the browser asks first, and sends nothing when it hears no leave.
            assert came[0] == (("OPTIONS", 204) if "JSON" in way else ("POST", 403)), way
    assert state_of(own_server) == "staged"


def test_a_name_that_leads_here_does_not_help(page: Page, own_server: Server) -> None:
    port = urlsplit(own_server.url).port
    answer = page.goto(f"http://{REBOUND}:{port}/")
    assert answer is not None
    assert answer.status == 403
    statuses = page.evaluate(
        f"""async () => Promise.all([
            fetch('{RETIRE}', {{method: 'POST'}}), fetch('/v1/models'), fetch('/docs'),
        ].map(async asked => (await asked).status))"""
    )
    assert statuses == [403, 403, 403]
    assert state_of(own_server) == "staged"


def test_the_services_own_page_can(page: Page, own_server: Server) -> None:
    page.goto(f"{own_server.url}/docs")
    status = page.evaluate(
        f"""async () => (await fetch('{RETIRE}', {{method: 'POST', body: '{{"actor": "me"}}',
            headers: {{'content-type': 'application/json'}}}})).status"""
    )
    assert status == 200
    assert state_of(own_server) == "retired"
