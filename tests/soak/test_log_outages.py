"""The prediction log while its database is killed, and while its spool has no room."""

import http.client
import json
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.postgres_servers import PostgresServer, find_postgres
from tests.support.service_process import Server

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(find_postgres() is None, reason="PostgreSQL's programs are not there"),
]

BODY = json.dumps({"instances": [EXAMPLE, EXAMPLE]})
HEADERS = {"Content-Type": "application/json"}
N_KILLS = 20


class Load:
    """Predictions, one after the other from each of some threads, and what came back."""

    def __init__(self, url: str) -> None:
        self._host = url.removeprefix("http://")
        self._stopped = threading.Event()
        self.ids: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with closing(http.client.HTTPConnection(self._host, timeout=20)) as connection:
            while not self._stopped.is_set():
                connection.request("POST", "/v1/models/arrival_delay:predict", BODY, HEADERS)
                response = connection.getresponse()
                answer = response.read()
                self.statuses[response.status] += 1
                if response.status == 200:
                    self.ids.add(json.loads(answer)["id"])
                time.sleep(0.002)


def start_service(folder: Path, online_store: Path, database: str, **settings: str) -> Server:
    graph = sum_graph(6, 2)
    publish(folder, make_manifest(graph), graph, database_url=database)
    places = {
        "ZEROSKEW_DATABASE_URL": database,
        "ZEROSKEW_LOG_SPOOL_DIR": str(folder / "spool"),
    }
    return Server(folder, online_store, **(places | settings))


def logged_rows(database: str) -> Counter[str]:
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT id FROM prediction").fetchall()
    return Counter(found for (found,) in rows)


def test_a_database_killed_twenty_times_costs_no_prediction_and_no_row(
    tmp_path: Path, online_store: Path
) -> None:
    dice = random.Random(5)  # noqa: S311 - moments of kills, not secrets
    with PostgresServer(tmp_path) as database:
        service = start_service(tmp_path, online_store, database.url)
        load = Load(service.url)
        for _ in range(N_KILLS):
            time.sleep(dice.uniform(0.2, 1.0))
            database.kill()
            time.sleep(dice.uniform(0.1, 1.5))
            database.start()
        time.sleep(3)
        load.stop()
        service.stop()
        found = logged_rows(database.url)
    print(f"{len(load.ids):,} predictions, {load.statuses}, {sum(found.values()):,} rows")  # noqa: T201 - a trial tells its numbers
    assert set(load.statuses) == {200}
    assert set(found) == load.ids
    assert set(found.values()) == {1}
    assert list((tmp_path / "spool").glob("*.spool")) == []


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of two megabytes."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("mode", ["buffered", "durable"])
def test_a_full_spool_drops_and_counts_or_refuses(
    tmp_path: Path, online_store: Path, mode: str
) -> None:
    with PostgresServer(tmp_path) as database, small_disk(tmp_path / "disk") as disk:
        service = start_service(
            tmp_path,
            online_store,
            database.url,
            ZEROSKEW_LOG_MODE=mode,
            ZEROSKEW_LOG_SPOOL_DIR=str(disk / "spool"),
        )
        load = Load(service.url)
        time.sleep(1)
        database.kill()
        time.sleep(15)
        database.start()
        time.sleep(5)
        before = Counter(load.statuses)
        time.sleep(1)
        after = load.statuses - before
        load.stop()
        service.stop()
        found = logged_rows(database.url)
    dropped = [line for line in service.log if line["event"] == "predictions_not_logged"]
    print(mode, load.statuses, f"{len(load.ids):,} answered, {len(found):,} logged", dropped[:1])  # noqa: T201 - as above
    assert set(found.values()) == {1}
    assert set(after) == {200}
    if mode == "durable":
        assert set(load.statuses) == {200, 503}
        assert load.ids <= set(found)
    else:
        assert set(load.statuses) == {200}
        assert set(found) < load.ids
        assert dropped
