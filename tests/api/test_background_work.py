"""Work beside the requests is begun again, or the service says that it is not ready."""

import asyncio
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.main import create_app
from api.predictions.prediction_log import PredictionLog
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.service_process import Server
from tests.support.settings import make_settings
from tests.support.waiting import wait_until
from zeroskew.contract.rollout import Rollout
from zeroskew.contract.scope import Scope
from zeroskew.records.access.access_store import AccessStore
from zeroskew.records.background_work import BackgroundTask, BackgroundThread, BackgroundWork
from zeroskew.records.registry.model_registry import ModelRegistry

GRAPH = sum_graph(6, 2)
PREDICT = "/v1/models/arrival_delay:predict"
INSTANCES = {"instances": [EXAMPLE]}


class Turns:
    """Work that fails while it is told to, or waits."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
        self.n_made = 0
        self.goes_on = threading.Event()
        self.goes_on.set()

    def make(self) -> None:
        self.goes_on.wait()
        if self.error is not None:
            raise self.error
        self.n_made += 1


ERRORS = [
    OSError(24, "Too many open files"),
    OSError(28, "No space left on device"),
    MemoryError(),
    RuntimeError("can't start new thread"),
    KeyError("unforeseen"),
    sqlite3.ProgrammingError("Cannot operate on a closed database."),
    asyncio.InvalidStateError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_thread_whose_turns_fail_goes_on_when_they_no_longer_do(error: Exception) -> None:
    turns, work = Turns(error), BackgroundWork()
    thread = BackgroundThread("one", turns.make, every_sec=0.001, patience_sec=0.1)
    work.watch("one", thread)
    work.watch("other", BackgroundThread("other", turns.make), is_vital=False)
    assert work.list_troubles() == {}  # It has not been needed yet.
    thread.start()
    wait_until(lambda: bool(work.list_troubles()))
    assert work.list_troubles() == {"one": f"it fails again and again ({type(error).__name__})"}
    assert work.count_failures()["one"] > 3
    turns.error = None
    wait_until(lambda: turns.n_made > 0 and not work.list_troubles())
    turns.goes_on.clear()
    wait_until(lambda: bool(work.list_troubles()))
    assert work.list_troubles() == {"one": "it has not moved for 0.1 seconds"}
    assert not thread.stop(0.01)
    turns.goes_on.set()
    assert thread.stop(60)


def test_a_task_whose_turns_fail_or_hang_goes_on_when_they_no_longer_do() -> None:
    async def use() -> None:
        turns = Turns(KeyError("unforeseen"))
        goes_on = asyncio.Event()
        goes_on.set()

        async def turn() -> None:
            await goes_on.wait()
            turns.make()

        async def wait_for(holds: Callable[[], Any]) -> None:
            async with asyncio.timeout(60):
                while not holds():
                    await asyncio.sleep(0.01)

        task = BackgroundTask("one", turn, every_sec=0.001, patience_sec=0.1)
        await wait_for(lambda: task.trouble)
        assert task.trouble == "it fails again and again (KeyError)"
        turns.error = None
        await wait_for(lambda: turns.n_made and not task.trouble)
        goes_on.clear()
        await wait_for(lambda: task.trouble)
        assert task.trouble == "it has not moved for 0.1 seconds"
        await task.close()
        assert task.trouble == "it has ended"

    asyncio.run(use())


def run_sql(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


def break_registry(path: Path) -> Callable[[], None]:
    run_sql(path, "UPDATE model_rollout SET document = '{'")
    run_sql(path, "UPDATE registry_generation SET value = value + 1")

    def mend() -> None:
        run_sql(path, "DELETE FROM model_rollout")
        run_sql(path, "UPDATE registry_generation SET value = value + 1")

    return mend


def break_keys(path: Path) -> Callable[[], None]:
    run_sql(path, "UPDATE api_key SET requests_per_sec = 'many'")
    run_sql(path, "UPDATE registry_generation SET value = value + 1")

    def mend() -> None:
        run_sql(path, "UPDATE api_key SET requests_per_sec = NULL")
        run_sql(path, "UPDATE registry_generation SET value = value + 1")

    return mend


@pytest.mark.parametrize(("name", "break_it"), [("registry", break_registry), ("keys", break_keys)])
def test_what_stands_still_makes_the_service_not_ready_until_it_moves(
    tmp_path: Path, online_store: Path, name: str, break_it: Callable[[Path], Callable[[], None]]
) -> None:
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    settings = make_settings(
        tmp_path, online_store, registry_poll_sec=0.02, require_keys=name == "keys"
    )
    registry = ModelRegistry.open(settings.database_url)
    arm = {"name": "champion", "alias": "champion", "weight": 1.0}
    registry.set_rollout("arrival_delay", Rollout.model_validate({"kind": "canary", "arms": [arm]}))
    registry.close()
    access = AccessStore.open(settings.database_url)
    key = access.create_key("k", list(Scope)).text
    access.close()
    with AppClient(create_app(settings)) as client:
        headers = {"X-API-Key": key}

        def ready() -> httpx.Response:
            return client.get("/readyz")

        assert ready().status_code == 200
        mend = break_it(tmp_path / "zeroskew.db")
        wait_until(lambda: ready().status_code == 503)
        assert ready().json()["detail"].startswith(f"The background work {name!r} does not go on")
        # What it had before is still good, for whoever comes.
        assert client.post(PREDICT, json=INSTANCES, headers=headers).status_code == 200
        text = client.get("/metrics", headers=headers).text
        assert f'zeroskew_background_failures_total{{work="{name}"}}' in text
        mend()
        wait_until(lambda: ready().status_code == 200)


def test_where_no_row_can_be_kept_durable_predictions_fail_in_time_and_readiness_says_so(
    tmp_path: Path, online_store: Path
) -> None:
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    spool = tmp_path / "spool"
    settings = make_settings(
        tmp_path, online_store, log_mode="durable", log_spool_dir=spool, log_flush_sec=0.01
    )
    database = tmp_path / "zeroskew.db"
    with AppClient(create_app(settings)) as client:

        def predict() -> int:
            return client.post(PREDICT, json=INSTANCES).status_code

        assert predict() == 200
        # The writer keeps its connection: a file of another kind in its place cuts it off too.
        with closing(sqlite3.connect(database)) as held:
            held.execute("ALTER TABLE prediction RENAME TO hidden")
            spool.write_text("a file where the folder should be")
            assert predict() == 503
            assert client.get("/readyz").json()["detail"] == (
                "The background work 'prediction log' does not go on: "
                "neither the database nor the spool takes a row."
            )
            held.execute("ALTER TABLE hidden RENAME TO prediction")
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert predict() == 200
        counters = client.part(PredictionLog).counters
        assert (counters.recorded, counters.written, counters.dropped) == (3, 2, 1)


def test_a_supervisor_that_gets_no_files_starts_the_worker_later(
    tmp_path: Path, online_store: Path
) -> None:
    import resource

    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    server = Server(tmp_path, online_store, ZEROSKEW_WORKERS="2")
    try:
        parent = server.process.pid

        def list_workers() -> list[int]:
            path = Path(f"/proc/{parent}/task/{parent}/children")
            children = [int(text) for text in path.read_text().split()]
            # The tracker of shared resources is a child too.
            return [
                pid
                for pid in children
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]

        wait_until(lambda: len(list_workers()) == 2)
        hard = resource.prlimit(parent, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(parent, resource.RLIMIT_NOFILE, (3, hard))
        victim = list_workers()[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in list_workers())
        wait_until(lambda: any(one["event"] == "worker_not_started" for one in server.log))
        resource.prlimit(parent, resource.RLIMIT_NOFILE, (1024, hard))
        wait_until(lambda: len(list_workers()) == 2)
        assert server.process.poll() is None
    finally:
        # Its workers end with it only where it is told to end.
        server.stop()
