"""Aliases move under load: no request fails, and each is answered by one version throughout."""

import http.client
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.numbered_versions import NumberedCallers, call, point_to, publish_number
from tests.support.waiting import PATIENCE_SEC, wait_until
from tests.support.worker_process import WorkerServer

N_VERSIONS = 10


@pytest.fixture
def server(tmp_path: Path, online_store: Path) -> Iterator[WorkerServer]:
    publish_number(tmp_path, 1, alias="champion")
    running = WorkerServer(tmp_path, online_store)
    try:
        wait_until(lambda: running.count_ready() == 2)
        yield running
    finally:
        running.end()


def answering_versions(url: str, n_connections: int = 12) -> set[int]:
    """Ask on several connections, which the workers share."""
    versions = set()
    for _ in range(n_connections):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_SEC)
        version, fault = call(connection)
        connection.close()
        assert not fault
        versions.add(version)
    return versions


def wait_for(url: str, number: int) -> None:
    """Wait until no worker answers with another version."""
    wait_until(lambda: answering_versions(url) == {number})


def test_swaps_under_load_fail_no_request_and_mix_no_versions(
    server: WorkerServer, tmp_path: Path
) -> None:
    with NumberedCallers(server.url, rate=50) as callers:
        for number in range(2, N_VERSIONS + 1):
            publish_number(tmp_path, number, alias="champion")
            wait_for(server.url, number)
        # And back, to versions that are loaded still.
        point_to(tmp_path, 1)
        wait_for(server.url, 1)
        time.sleep(0.2)
    assert not callers.answers.faults
    assert set(callers.answers.versions) == set(range(1, N_VERSIONS + 1))
