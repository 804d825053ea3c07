"""Two hundred kills while labels come in, and a thousand senders of one key."""

import sqlite3
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.support.killed_service import KillTrial
from tests.support.service_process import Server
from tests.support.waiting import wait_until_ready
from tests.support.whole_service import publish_every_kind

pytestmark = pytest.mark.soak


def test_no_acknowledged_label_is_lost_in_200_kills(tmp_path: Path, online_store: Path) -> None:
    publish_every_kind(tmp_path)
    trial = KillTrial(tmp_path, online_store)
    trial.run(n_kills=200)
    print(f"{trial.n_sent:,} sent, {len(trial.acknowledged):,} acknowledged")  # noqa: T201 - a trial tells its numbers
    assert trial.missing() == set()


def test_one_key_sent_a_thousand_times_at_once_is_one_row(
    tmp_path: Path, online_store: Path
) -> None:
    publish_every_kind(tmp_path)
    server = Server(tmp_path, online_store, ZEROSKEW_WORKERS="2", ZEROSKEW_BODY_TIMEOUT_SEC="10")
    wait_until_ready(f"{server.url}/livez")
    begin = threading.Barrier(100)

    def send(number: int) -> int | str:
        value = 1.5 if number % 10 else 99.0  # Every tenth says something else.
        label = {
            "idempotency_key": "one",
            "prediction_id": "00000000-0000-7000-8000-000000000001",
            "value": value,
            "observed_at": "2013-10-01T11:00:00Z",
        }
        begin.wait(60)
        try:
            return httpx.post(
                f"{server.url}/v1/feedback", json={"labels": [label]}, timeout=30
            ).status_code
        except httpx.HTTPError as error:
            return repr(error)

    with ThreadPoolExecutor(100) as pool:
        statuses = Counter(pool.map(send, range(1000)))
    server.stop()
    print(statuses)  # noqa: T201 - as above
    assert set(statuses) == {200, 409}
    assert statuses[200] in (100, 900)
    with closing(sqlite3.connect(tmp_path / "zeroskew.db")) as connection:
        assert connection.execute("SELECT count(*) FROM label").fetchone() == (1,)
