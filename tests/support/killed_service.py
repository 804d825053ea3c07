"""A service that is killed at random moments while it is told labels."""

from __future__ import annotations

import http.client
import json
import random
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.service_process import Server
from tests.support.waiting import PATIENCE_SEC

__all__ = ["KillTrial"]

_PREDICTION: Final = "00000000-0000-7000-8000-000000000001"
_N_SENDERS: Final = 4


@dataclass
class KillTrial:
    """What was sent and acknowledged while a service was killed again and again.

    ``acknowledged`` are keys of labels that the service said it keeps.
    """

    folder: Path
    online_store: Path
    seed: int = 11
    acknowledged: set[str] = field(default_factory=set)
    n_sent: int = 0

    def run(self, n_kills: int) -> None:
        """Send labels from several threads, and kill the service that many times."""
        dice = random.Random(self.seed)  # noqa: S311 - moments of kills, not secrets
        for round_number in range(n_kills):
            server = Server(self.folder, self.online_store, ZEROSKEW_MAX_BODY_BYTES="100000")
            stopped = threading.Event()
            senders = [
                threading.Thread(
                    target=self._send, args=(server.url, f"{round_number}-{n}", stopped)
                )
                for n in range(_N_SENDERS)
            ]
            for sender in senders:
                sender.start()
            time.sleep(dice.uniform(0.0, 0.5))
            server.process.kill()
            server.process.wait()
            stopped.set()
            for sender in senders:
                sender.join()
            server.kill()

    def missing(self) -> set[str]:
        """Return the acknowledged keys that the database does not have."""
        with closing(sqlite3.connect(self.folder / "zeroskew.db")) as connection:
            rows = connection.execute("SELECT idempotency_key FROM label").fetchall()
        return self.acknowledged - {key for (key,) in rows}

    def _send(self, url: str, name: str, stopped: threading.Event) -> None:
        host = url.removeprefix("http://")
        number = 0
        connection = http.client.HTTPConnection(host, timeout=PATIENCE_SEC)
        while not stopped.is_set():
            number += 1
            keys = [f"{name}-{number}-{n}" for n in range(3)]
            self.n_sent += len(keys)
            with suppress(OSError, http.client.HTTPException):
                connection.request("POST", "/v1/feedback", _body(keys), _HEADERS)
                response = connection.getresponse()
                response.read()
                if response.status == 200:
                    self.acknowledged.update(keys)
                    continue
            connection.close()
            time.sleep(0.01)
        connection.close()


_HEADERS: Final = {"Content-Type": "application/json"}


def _body(keys: Sequence[str]) -> str:
    return json.dumps(
        {
            "labels": [
                {
                    "idempotency_key": key,
                    "prediction_id": _PREDICTION,
                    "value": 1.5,
                    "observed_at": "2013-10-01T11:00:00Z",
                }
                for key in keys
            ]
        }
    )
