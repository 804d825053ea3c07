"""A service that is told to stop, or whose workers are killed, under load."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.support.feast_service import ROOT, settings_of, watch
from tests.support.manifests import EXAMPLE
from tests.support.waiting import wait_until, wait_until_ready
from tests.support.whole_service import set_up_whole_service

pytestmark = pytest.mark.soak

RATE, N_CALLERS = 200, 16
_RANDOM = np.random.default_rng(6)
BODY = {"instances": [EXAMPLE]}


class Callers:
    """Sixteen clients that together send 200 requests a second until the service is gone."""

    def __init__(self, url: str) -> None:
        self.outcomes: Counter[str] = Counter()
        self._url = f"{url}/v1/models/is_late:predict"
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._call) for _ in range(N_CALLERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        with httpx.Client(timeout=20) as client:
            while not self._stopped.is_set():
                begin = time.monotonic()
                try:
                    outcome = str(client.post(self._url, json=BODY).status_code)
                except httpx.ConnectError:
                    outcome = "refused"
                except httpx.HTTPError as error:
                    outcome = type(error).__name__
                with self._lock:
                    self.outcomes[outcome] += 1
                pause = N_CALLERS / RATE * _RANDOM.uniform(0.5, 1.5) - (time.monotonic() - begin)
                self._stopped.wait(max(0.0, pause))


def start(folder: Path, online: Path, workers: int) -> subprocess.Popen[str]:
    known = settings_of(folder, f"sqlite:///{online}", workers=workers)
    values = known.model_dump(mode="json", exclude_unset=True)
    environment = {f"ZEROSKEW_{name.upper()}": str(value) for name, value in values.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "api"],
        cwd=ROOT,
        env=os.environ | environment | {"ZEROSKEW_LOG_SPOOL_DIR": str(folder / "spool")},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_under_load_fails_nobody(tmp_path: Path, workers: int) -> None:
    online = set_up_whole_service(tmp_path)
    total: Counter[str] = Counter()
    seconds = []
    for _ in range(10):
        process = start(tmp_path, online, workers)
        with watch(process) as url:
            wait_until_ready(url)
            callers = Callers(url)
            time.sleep(1.5)
            process.send_signal(signal.SIGTERM)
            begin = time.monotonic()
            status = process.wait(30)
            seconds.append(time.monotonic() - begin)
            callers.stop()
        assert status in (0, -signal.SIGTERM)
        total += callers.outcomes
    assert set(total) <= {"200", "refused"}
    assert total["200"] > 1500


def list_workers(supervisor: int) -> list[int]:
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def test_killed_workers_are_replaced_and_harm_only_their_own_callers(tmp_path: Path) -> None:
    online = set_up_whole_service(tmp_path)
    process = start(tmp_path, online, 2)
    with watch(process) as url:
        wait_until_ready(url)
        callers = Callers(url)
        for _ in range(10):
            time.sleep(1.5)
            # On a busy machine the one before may not be replaced yet.
            wait_until(lambda: len(list_workers(process.pid)) == 2, what="two workers")
            os.kill(_RANDOM.choice(list_workers(process.pid)), signal.SIGKILL)
        time.sleep(2)
        n_before = callers.outcomes["200"]
        time.sleep(2)
        callers.stop()
        assert callers.outcomes["200"] - n_before > RATE
        outcomes = dict(callers.outcomes)
        # A killed worker takes the requests with it that it was answering or had accepted.
        failed = sum(number for name, number in outcomes.items() if name != "200")
        assert failed < 10 * N_CALLERS
        for worker in list_workers(process.pid):
            os.kill(worker, signal.SIGKILL)
        begin = time.monotonic()
        statuses = []
        while time.monotonic() < begin + 0.4:
            with contextlib.suppress(httpx.HTTPError):
                statuses.append(httpx.get(f"{url}/readyz", timeout=0.2).status_code)
        assert 200 not in statuses
        wait_until_ready(url)
