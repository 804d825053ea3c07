"""Two hundred kills while events come in: none acknowledged is lost, none is counted twice."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import polars as pl
import pytest

from tests.support.event_project import make_events_store
from tests.support.feast_service import publish_catalog, run_service, start_service, watch
from tests.support.online_stores import EVENT_TIME, open_online
from tests.support.waiting import PATIENCE_SEC
from zeroskew.features.pushed_rows.collect import collect_pushes
from zeroskew.records.database.open_database import open_database

pytestmark = pytest.mark.soak

N_KILLS: Final = 200
_N_SENDERS: Final = 4
_N_GUESTS: Final = 40


@dataclass
class Trial:
    """What was sent while a service was killed again and again; tickets are the events' ids."""

    numbers: Any = field(default_factory=count)
    acknowledged: set[int] = field(default_factory=set)

    def send(self, url: str, stopped: threading.Event) -> None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_SEC)
        while not stopped.is_set():
            tickets = [next(self.numbers) for _ in range(3)]
            body = json.dumps({"events": list(map(_event, tickets))})
            with suppress(OSError, http.client.HTTPException):
                connection.request("POST", "/v1/events/sales", body, _HEADERS)
                response = connection.getresponse()
                response.read()
                if response.status == 200:
                    self.acknowledged.update(tickets)
                    continue
            connection.close()
            time.sleep(0.01)
        connection.close()


_HEADERS: Final = {"Content-Type": "application/json"}


def _event(ticket: int) -> Mapping[str, Any]:
    happened = EVENT_TIME - timedelta(seconds=ticket % 3000, microseconds=ticket)
    return {
        "guest": f"g{ticket % _N_GUESTS}",
        "desk": None,
        "ticket": ticket,
        "euros": 1.0,
        "kind": None,
        "paid_at": None,
        "event_timestamp": happened.isoformat(),
    }


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_no_event_is_lost_or_counted_twice_in_200_kills(kind: str, tmp_path: Path) -> None:
    dice, trial = random.Random(3), Trial()  # noqa: S311 - moments of kills
    with open_online(kind, tmp_path / "online") as online:
        store = make_events_store(tmp_path, online.config)
        publish_catalog(tmp_path, store)
        for number in range(N_KILLS):
            process = start_service(tmp_path, online.url)
            with watch(process) as url:
                stopped = threading.Event()
                senders = [
                    threading.Thread(target=trial.send, args=(url, stopped))
                    for _ in range(_N_SENDERS)
                ]
                for sender in senders:
                    sender.start()
                time.sleep(dice.uniform(0.0, 0.4))
                process.kill()
                stopped.set()
                for sender in senders:
                    sender.join()
            if number % 20 == 19:
                # Whoever trains meanwhile takes from the database what waited there.
                with run_service(tmp_path, online.url) as url:
                    expected = _collected(tmp_path, store)
                    assert _served(url) == expected
        served = _collected(tmp_path, store)
        with run_service(tmp_path, online.url) as url:
            assert _served(url) == served
    print(f"{kind}: {len(trial.acknowledged):,} acknowledged, {served.total():,} counted")  # noqa: T201 - the trial's result
    assert served.total() >= len(trial.acknowledged) > 500


def _served(url: str) -> Counter[str]:
    """Return how many events each guest has online."""
    guests = [f"g{number}" for number in range(_N_GUESTS)]
    body = {"features": ["guests:n_1h"], "entities": {"guest": guests}}
    answer = httpx.post(f"{url}/feast/get-online-features", json=body, timeout=PATIENCE_SEC)
    values = answer.json()["results"][1]["values"]
    return Counter({guest: n for guest, n in zip(guests, values, strict=True) if n})


def _collected(folder: Path, store: Any) -> Counter[str]:
    """Return how many distinct events each guest has in the lake, after what waits is there."""
    collected = collect_pushes(open_database(f"sqlite:///{folder}/zeroskew.db"), store)
    assert not collected.refused
    rows = pl.read_parquet(f"{folder}/lake/sales/**/*.parquet").unique("ticket")
    return Counter(dict(rows["guest"].value_counts().iter_rows()))
