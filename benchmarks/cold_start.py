"""Cold start: what a service process costs until its first score, and what it then keeps.

    python -m benchmarks.cold_start PROJECT [--repeats K] [--requests N]

PROJECT is a folder with ``var/`` as ``zeroskew up`` leaves it. Each repeat starts
``python -m api`` there in a fresh process, asks the first model for a score, and reads the
processor time that the process has used from its start to that answer. It then sends some
hundred requests to every model and reads the memory that the process keeps. Bytecode stands as it
does in an installed package: a first start, told apart, writes what is missing. Exits with 1
where a median misses its target.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from zeroskew.contract.manifest import Manifest
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.model_registry import ModelRegistry

ROOT: Final = Path(__file__).parents[1]
CLOCK: Final = "2013-10-01T12:17:00Z"
MAX_CPU_SEC: Final = 1.0
MAX_PSS_MB: Final = 120.0
_ADDRESS: Final = re.compile(rb"http://([\d.]+):(\d+)")
_TICKS_PER_SEC: Final = os.sysconf("SC_CLK_TCK")
_START_TIMEOUT_SEC: Final = 60.0
_WITHOUT: Final = ("PYTHONDONTWRITEBYTECODE",)


class Example(NamedTuple):
    """The address of a model's champion and a body that it answers."""

    path: str
    body: bytes


class ColdStart(NamedTuple):
    """What one process used to its first score, and what it kept after many."""

    cpu_sec: float
    wall_sec: float
    pss_mb: float
    rss_mb: float


def read_examples(project: Path) -> list[Example]:
    """Return the example of each model's champion in the project's registry."""
    registry = ModelRegistry.open(f"sqlite:///{project}/var/zeroskew.db")
    artifacts = ArtifactStore(project / "var/artifacts")
    try:
        manifests = [
            Manifest.model_validate_json(
                artifacts.get(registry.resolve_alias(model, "champion").manifest_sha256)
            )
            for model in registry.list_models()
        ]
    finally:
        registry.close()
    return [
        Example(
            f"/v1/models/{manifest.model}:predict",
            json.dumps({"instances": [manifest.example]}).encode(),
        )
        for manifest in manifests
    ]


@contextmanager
def running_service(project: Path, **settings: str) -> Iterator[tuple[int, HTTPConnection]]:
    """Start a service on a project's files; yield its process id and a connection to it."""
    environment = {
        "ZEROSKEW_CLOCK": CLOCK,
        "ZEROSKEW_DATABASE_URL": f"sqlite:///{project}/var/zeroskew.db",
        "ZEROSKEW_ARTIFACTS_DIR": f"{project}/var/artifacts",
        "ZEROSKEW_ONLINE_STORE": f"sqlite:///{project}/var/feast/online.db",
        **{name: value for name, value in os.environ.items() if name not in _WITHOUT},
        "ZEROSKEW_PORT": "0",
        "ZEROSKEW_LOG_FORMAT": "json",
        "TZ": "UTC",
        **settings,
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "api"], cwd=ROOT, env=environment, stderr=log
        )
        try:
            host, port = _wait_for_address(process, log.fileno())
            yield process.pid, HTTPConnection(host, port, timeout=_START_TIMEOUT_SEC)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _wait_for_address(process: subprocess.Popen[bytes], log: int) -> tuple[str, int]:
    deadline = time.monotonic() + _START_TIMEOUT_SEC
    while time.monotonic() < deadline:
        written = os.pread(log, 1 << 20, 0)
        for line in written.splitlines():
            if b"running on" in line and (found := _ADDRESS.search(line)):
                return found[1].decode(), int(found[2])
        if process.poll() is not None:
            raise RuntimeError(f"The service stopped:\n{written.decode()}")
        time.sleep(0.005)
    raise TimeoutError(f"The service did not start in {_START_TIMEOUT_SEC} seconds.")


def ask(connection: HTTPConnection, example: Example) -> bytes:
    """Send one request and return the answer's body; anything but 200 is an error."""
    connection.request("POST", example.path, example.body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise RuntimeError(f"Got {response.status} {answer.decode()}, but expected a score.")
    return answer


def read_cpu_sec(process_id: int) -> float:
    """Return the processor seconds, user and system, of a process with all its threads."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SEC


def read_memory_mb(process_id: int) -> tuple[float, float]:
    """Return a process's proportional and its whole resident memory in MB (1024 * 1024)."""
    rollup = Path(f"/proc/{process_id}/smaps_rollup").read_text()
    pss, rss = (re.search(rf"^{name}:\s+(\d+) kB", rollup, re.M) for name in ("Pss", "Rss"))
    assert pss is not None
    assert rss is not None
    return int(pss[1]) / 1024, int(rss[1]) / 1024


def measure_cold_start(project: Path, examples: list[Example], n_requests: int) -> ColdStart:
    """Start one service, ask for a first score, then for many, and stop it."""
    begin = time.perf_counter()
    with running_service(project) as (process_id, connection):
        ask(connection, examples[0])
        wall_sec = time.perf_counter() - begin
        cpu_sec = read_cpu_sec(process_id)
        for number in range(n_requests):
            ask(connection, examples[number % len(examples)])
        pss_mb, rss_mb = read_memory_mb(process_id)
        connection.close()
    return ColdStart(cpu_sec, wall_sec, pss_mb, rss_mb)


def main() -> None:
    """Measure, print the medians against their targets, and judge them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--requests", type=int, default=600)
    arguments = parser.parse_args()
    project = arguments.project.resolve()
    examples = read_examples(project)
    with tempfile.TemporaryDirectory() as bytecode:
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode
        first, *runs = (
            measure_cold_start(project, examples, arguments.requests)
            for _ in range(1 + arguments.repeats)
        )
    cpu_sec, wall_sec, pss_mb, rss_mb = (median(column) for column in zip(*runs, strict=True))
    sys.stdout.write(
        f"{len(examples)} models, median of {len(runs)} starts\n"
        f"cpu to first score  {cpu_sec:6.2f} s   {cpu_sec / MAX_CPU_SEC:5.2f} of the target\n"
        f"  when it compiles  {first.cpu_sec:6.2f} s\n"
        f"wall to first score {wall_sec:6.2f} s\n"
        f"memory, pss         {pss_mb:6.1f} MB  {pss_mb / MAX_PSS_MB:5.2f} of the target\n"
        f"memory, rss         {rss_mb:6.1f} MB\n"
    )
    sys.exit(cpu_sec > MAX_CPU_SEC or pss_mb > MAX_PSS_MB)


if __name__ == "__main__":
    main()
