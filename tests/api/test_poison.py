"""Poison to every address: an answer that names the fault, in time, and the service unharmed."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.inference_requests import entity_inputs
from tests.support.manifests import EXAMPLE
from tests.support.poison import Poison, poison_bodies, poison_paths
from tests.support.service_process import Server
from tests.support.waiting import PATIENCE_SEC
from tests.support.whole_service import set_up_whole_service

KNOWN_AT = "2013-10-01T11:00:00Z"
GOOD: dict[str, dict[str, Any]] = {
    "/v1/models/arrival_delay:predict": {"instances": [EXAMPLE]},
    "/v2/models/arrival_delay/infer": {"inputs": entity_inputs([EXAMPLE])},
    "/feast/get-online-features": {
        "entities": {"carrier": ["UA", "AA"], "gate_number": [4, 5]},
        "features": ["carrier_stats:mean", "gate:walk"],
    },
    "/feast/push": {
        "push_source_name": "gate_push",
        "df": {"known_at": [KNOWN_AT], "gate_number": [4], "walk": [120], "wait": [2.5]},
    },
    "/feast/write-to-online-store": {
        "feature_view_name": "gate",
        "df": {"gate_number": [4], "walk": [120], "known_at": [KNOWN_AT]},
    },
}
MAX_GROWTH_KB = 40_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("poison")
    online_store = set_up_whole_service(folder)
    limits = {"ZEROSKEW_MAX_BODY_BYTES": "1000000", "ZEROSKEW_BODY_TIMEOUT_SEC": "1"}
    running = Server(folder, online_store, **limits)
    yield running
    running.kill()


def ask(server: Server, poison: Poison) -> tuple[int, str]:
    """Return the status and the body of the answer."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(PATIENCE_SEC)
        with suppress(ConnectionError):  # It may have answered, and closed, before all was sent.
            connection.sendall(poison.to_bytes())
        answer = b""
        with suppress(ConnectionError):
            while part := connection.recv(65_536):
                answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body.decode()


def memory_kb(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def poisons() -> list[Poison]:
    found = [poison for path, good in GOOD.items() for poison in poison_bodies(path, good)]
    return [*found, *poison_paths()]


def test_the_good_requests_are_answered(server: Server) -> None:
    for path, good in GOOD.items():
        answer = httpx.post(server.url + path, json=good, timeout=PATIENCE_SEC)
        assert answer.status_code == 200, answer.text


def test_there_are_enough() -> None:
    names = [poison.to_bytes() for poison in poisons()]
    assert len(set(names)) >= 200


def test_no_poison_harms_the_service_and_each_answer_names_the_fault(server: Server) -> None:
    assert httpx.get(f"{server.url}/readyz", timeout=PATIENCE_SEC).status_code == 200
    before_kb = memory_kb(server)
    wrong = []
    for poison in poisons():
        status, text = ask(server, poison)
        if status not in poison.statuses or not _names(text):
            wrong.append((poison.name, status, text[:200]))
    assert not wrong
    for path, good in GOOD.items():
        assert httpx.post(server.url + path, json=good, timeout=PATIENCE_SEC).status_code == 200
    assert memory_kb(server) - before_kb < MAX_GROWTH_KB


def _names(text: str) -> bool:
    """Tell whether an answer says what was wrong, and nothing of the inside."""
    for leak in ("Traceback", "pydantic", "sqlite", "numpy", "site-packages"):
        if leak in text:
            return False
    try:
        problem = json.loads(text)
    except ValueError:
        return text == "Invalid HTTP request received."  # Not HTTP: there is nothing to name.
    if not isinstance(problem, dict):
        return False
    return len(str(problem.get("detail") or problem.get("error") or "")) > 20
