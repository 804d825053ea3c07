"""A service under load for long, over a million requests, and on a clock that jumps."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from benchmarks.environments import find_wrk
from benchmarks.load_tools import flood, run_wrk
from tests.support.feast_service import ROOT, watch
from tests.support.flights_project import CLOCK, FlightsProject, bring_up
from tests.support.machines import FLIGHT, predict_flight

pytestmark = pytest.mark.soak

PREDICT = "/v1/models/arrival_delay_15:predict"


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> FlightsProject:
    base = tmp_path_factory.getbasetemp()
    return bring_up((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "flights")


@contextmanager
def serve(flights: FlightsProject, **variables: str) -> Iterator[tuple[str, int]]:
    """Run the example's service with its log on; yield its address and process id."""
    environment = flights.environment() | {
        **flights.workspace.service_environment(),
        "ZEROSKEW_PORT": "0",
        "ZEROSKEW_LOG_SPOOL_DIR": str(flights.folder / "spool"),
        # Each request's line would be a megabyte a second of somebody's terminal.
        "ZEROSKEW_LOG_FORMAT": "json",
        **variables,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "api"],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    with watch(process) as url:
        yield url, process.pid


def write_lines(path: Path) -> Path:
    path.write_text(f"{PREDICT} {json.dumps({'instances': [FLIGHT]})}\n")
    return path


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def test_ten_minutes_at_200_requests_a_second(flights: FlightsProject, tmp_path: Path) -> None:
    with serve(flights) as (url, _):
        seen = flood(url, write_lines(tmp_path / "lines"), per_sec=200, duration_sec=600)
    answers = seen.answers(200)
    print(f"{seen.asked} asked, {answers}")  # noqa: T201 - a trial tells its numbers
    assert (seen.unsent, seen.lost, set(seen.statuses)) == (0, 0, {"200"})
    assert answers.count == seen.asked


def test_a_million_requests_leave_the_memory_as_it_was(
    flights: FlightsProject, tmp_path: Path
) -> None:
    lines = write_lines(tmp_path / "lines")
    with serve(flights, ZEROSKEW_LOG_LEVEL="info") as (url, pid):
        run_wrk(find_wrk(), url, lines, connections=8, duration_sec=30)
        sizes = [resident_kb(pid)]
        n_requests = 0
        while n_requests < 1_000_000:
            load = run_wrk(find_wrk(), url, lines, connections=8, duration_sec=60)
            assert load.errors == 0
            n_requests += load.requests
            sizes.append(resident_kb(pid))
    print(f"{n_requests:,} requests, resident kB each minute: {sizes}")  # noqa: T201 - as above
    assert sizes[-1] <= 1.05 * sizes[0]


def test_a_clock_that_jumps_an_hour_breaks_nothing_and_is_flagged(
    flights: FlightsProject, tmp_path: Path
) -> None:
    library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
    if not Path(library).exists():
        subprocess.run(["apt-get", "install", "-y", "-qq", "faketime"], check=True)
    moment = tmp_path / "faketime"
    shifts: list[float] = []

    def set_clock(offset_sec: float) -> None:
        # libfaketime looks at the file each time, so it is replaced as a whole.
        unfinished = moment.with_suffix(".new")
        shifts.append(offset_sec)
        shift = CLOCK.timestamp() - time.time() + offset_sec
        unfinished.write_text(f"{shift:+.0f}")
        unfinished.replace(moment)
        time.sleep(1.5)

    def statuses(client: httpx.Client) -> set[str]:
        answer = client.post(f"{PREDICT}?with_features=true", json={"instances": [FLIGHT]})
        assert answer.status_code == 200
        (features,) = answer.json()["features"]
        shown = datetime.fromisoformat(answer.json()["as_of"])
        assert abs((shown - CLOCK).total_seconds() - shifts[-1]) < 60
        ages = [one["age_seconds"] for one in features.values() if one["age_seconds"] is not None]
        # A value that is newer than the clock says so, and none that is not does.
        n_future = sum(one["status"] == "future" for one in features.values())
        assert n_future == sum(age < 0 for age in ages)
        return {one["status"] for one in features.values()} - {"request"}

    set_clock(0)
    clock = {
        "ZEROSKEW_CLOCK": "system",
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(moment),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with serve(flights, **clock) as (url, _), httpx.Client(base_url=url, timeout=20) as client:
        first = predict_flight(client)
        assert "future" not in statuses(client)
        told = {}
        for offset in (-3600, 0, 3600, -3600, 0):
            set_clock(offset)
            told[offset] = statuses(client)
            for _ in range(50):
                predict_flight(client)
        print(f"statuses by shift in s: {told}")  # noqa: T201 - as above
        assert "future" not in told[0] | told[3600]
        assert predict_flight(client)["predictions"] == first["predictions"]
