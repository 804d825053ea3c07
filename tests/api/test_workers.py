"""Several worker processes on one port: they share it, are replaced, and stop without a loss."""

import json
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

from tests.api.test_server import ROOT, Server
from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.waiting import PATIENCE_SEC, wait_until

GRAPH = sum_graph(6, 2)
PREDICT = "/v1/models/arrival_delay:predict"
INSTANCES = {"instances": [EXAMPLE]}


class WorkerServer(Server):
    """A service of two workers, whose log is read while it is written."""

    def __init__(self, folder: Path, online_store: Path) -> None:
        # Unbuffered, as in most containers: the workers still write whole lines.
        self.lines: list[str] = []
        super().__init__(folder, online_store, ZEROSKEW_WORKERS="2", PYTHONUNBUFFERED="1")

    def _read_rest(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as log:
            self.lines.extend(log)

    def workers(self) -> set[int]:
        """Return the process ids of the workers, without that of Python's resource tracker."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {
            child
            for child in map(int, listed.split())
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        }

    def count_ready(self) -> int:
        """Return how many workers have logged that they listen."""
        return sum("startup complete" in line for line in list(self.lines))

    def end(self) -> int:
        """Send SIGTERM, wait for the end of the processes and of the log."""
        self.process.terminate()
        status = self.process.wait(PATIENCE_SEC)
        self._reader.join()
        return status

    def count_finished(self) -> int:
        """Return how many predictions the log says were answered with scores."""
        logged = [json.loads(line) for line in self.lines]
        return sum(line.get("path") == PREDICT and line["status"] == 200 for line in logged)


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
