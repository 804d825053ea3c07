"""Several worker processes on one port: they share it, are replaced, and stop without a loss."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.service_process import ROOT, Server
from tests.support.waiting import PATIENCE_SEC, wait_until
from tests.support.worker_process import PREDICT, WorkerServer

GRAPH = sum_graph(6, 2)
INSTANCES = {"instances": [EXAMPLE]}


@pytest.fixture
def server(tmp_path: Path, online_store: Path) -> Iterator[WorkerServer]:
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    running = WorkerServer(tmp_path, online_store)
    try:
        wait_until(lambda: running.count_ready() == 2)
        yield running
    finally:
        running.end()


def ask(server: Server) -> int:
    """Send a request on a connection of its own and return the answer's status."""
    return httpx.post(server.url + PREDICT, json=INSTANCES, timeout=PATIENCE_SEC).status_code


def test_a_worker_that_dies_is_replaced(server: WorkerServer) -> None:
    before = server.workers()
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: server.count_ready() == 3)
    assert len(server.workers()) == 2
    assert server.workers() & before == before - {killed}
    assert [ask(server) for _ in range(8)] == [200] * 8


def test_a_stop_under_load_loses_no_request_that_was_accepted(server: WorkerServer) -> None:
    received: list[int] = []

    def keep_asking() -> None:
        # A connection may be reused just as it is closed. Such a request, like one to a port
        # where nobody listens any more, was not accepted: no worker has logged it.
        with (
            httpx.Client(base_url=server.url, timeout=PATIENCE_SEC) as client,
            suppress(httpx.TransportError),
        ):
            while True:
                received.append(client.post(PREDICT, json=INSTANCES).status_code)

    clients = [threading.Thread(target=keep_asking) for _ in range(4)]
    for client in clients:
        client.start()
    wait_until(lambda: len(received) > 100)
    assert server.end() == 0
    for client in clients:
        client.join()
    assert set(received) == {200}
    assert server.count_finished() == len(received)


def test_a_model_that_is_refused_ends_the_service(tmp_path: Path, online_store: Path) -> None:
    manifest = make_manifest(GRAPH)
    publish(tmp_path, manifest, GRAPH)
    next((tmp_path / "artifacts").rglob(manifest.model_file.sha256)).write_bytes(b"damaged")
    environment = {
        **os.environ,
        "ZEROSKEW_DATABASE_URL": f"sqlite:///{tmp_path}/zeroskew.db",
        "ZEROSKEW_ARTIFACTS_DIR": str(tmp_path / "artifacts"),
        "ZEROSKEW_ONLINE_STORE": f"sqlite:///{online_store}",
        "ZEROSKEW_PORT": "0",
        "ZEROSKEW_WORKERS": "2",
    }
    done = subprocess.run(
        [sys.executable, "-m", "api"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SEC,
        check=False,
    )
    assert done.returncode == 3
    assert "model_refused" in done.stderr
