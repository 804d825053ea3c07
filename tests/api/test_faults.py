"""Faults at run time around a service that goes on: locked files, odd files, long logs."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from api.main import create_app
from api.models.loaded_models import LoadedModels
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.settings import make_settings

ROOT = Path(__file__).parents[2]
GRAPH = sum_graph(6, 2)
PREDICT = "/v1/models/arrival_delay:predict"
INSTANCES = {"instances": [EXAMPLE]}


@contextmanager
def locked(database: Path) -> Iterator[sqlite3.Connection]:
    """Hold the lock of a writer that commits."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield connection


def test_a_locked_registry_is_unavailable_while_scores_go_on(
    tmp_path: Path, online_store: Path
) -> None:
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    settings = make_settings(tmp_path, online_store, registry_timeout_sec=0.05)
    with AppClient(create_app(settings)) as client:
        with locked(tmp_path / "zeroskew.db"):
            response = client.get("/v1/models")
            assert (response.status_code, response.json()["code"]) == (503, "registry_unavailable")
            assert client.post(PREDICT, json=INSTANCES).status_code == 200
        assert client.get("/v1/models").status_code == 200


def test_calls_that_wait_for_the_registry_keep_no_thread_from_scoring(
    tmp_path: Path, online_store: Path
) -> None:
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    settings = make_settings(tmp_path, online_store, registry_timeout_sec=30)
    n_waiting = 2 * (os.cpu_count() or 1)
    with (
        ThreadPoolExecutor(n_waiting) as threads,
        AppClient(create_app(settings)) as client,
    ):
        for model in client.part(LoadedModels).list_loaded():
            model.session.inline_rows = 0  # every request is scored in a thread
        with locked(tmp_path / "zeroskew.db"):
            waiting = [threads.submit(client.get, "/v1/models") for _ in range(n_waiting)]
            for _ in range(20):  # some of them after all the others are waiting
                assert client.post(PREDICT, json=INSTANCES).status_code == 200
            assert not any(call.done() for call in waiting)
        assert [call.result().status_code for call in waiting] == [200] * n_waiting


def test_a_pipe_in_place_of_the_online_store_does_not_block_the_service(
    tmp_path: Path, published: Path, online_store: Path
) -> None:
    store = tmp_path / "online.db"
    os.mkfifo(store)
    with AppClient(create_app(make_settings(published, store))) as client:
        response = client.post(PREDICT, json=INSTANCES)
        assert (response.status_code, response.json()["code"]) == (503, "online_store_unavailable")
        store.unlink()
        shutil.copy(online_store, store)
        assert client.post(PREDICT, json=INSTANCES).status_code == 200


def test_a_store_cut_off_under_an_open_connection_is_unavailable_until_it_is_back(
    tmp_path: Path, published: Path, online_store: Path
) -> None:
    store = Path(shutil.copy(online_store, tmp_path))
    with AppClient(create_app(make_settings(published, store))) as client:
        expected = client.post(PREDICT, json=INSTANCES).json()["predictions"]
        os.truncate(store, 5000)
        response = client.post(PREDICT, json=INSTANCES)
        assert (response.status_code, response.json()["code"]) == (503, "online_store_unavailable")
        Path(shutil.copy(online_store, tmp_path / "new.db")).replace(store)
        assert client.post(PREDICT, json=INSTANCES).json()["predictions"] == expected


def test_a_logged_exception_shows_its_frames_without_their_variables() -> None:
    program = (
        "import structlog\n"
        "from api.log_config import configure_logging\n"
        "configure_logging('console', 'info')\n"
        "tail_number = 'N14' + '228'\n"
        "try:\n"
        "    raise ValueError('of that kind')\n"
        "except ValueError:\n"
        "    structlog.get_logger().exception('request_crashed')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "ValueError: of that kind" in done.stderr
    assert "N14228" not in done.stderr
