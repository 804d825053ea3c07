"""ASGI servers compared: what a request costs on each, and how each behaves.

    python -m benchmarks.servers PROJECT [--seconds S] [--rounds R]

PROJECT is a folder with ``var/`` as ``zeroskew up`` leaves it. Servers that are no part of the
project stand in an environment of their own below ``PROJECT/environments``. Every server runs
on one core with one worker, wrk on the other; rounds alternate between the servers, and the
table holds medians. The empty application has one endpoint that reads nothing; the service
scores one row with features from SQLite. Behaviour is seen with two workers.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from benchmarks.cold_start import CLOCK, read_examples
from benchmarks.environments import find_wrk, install, installed_versions
from benchmarks.load_tools import run_wrk
from benchmarks.server_process import SERVER_CORE, ServerProcess, free_port, wait_for_http

ROOT: Final = Path(__file__).parents[1]
OTHERS: Final = ("granian==2.8.7", "hypercorn==0.18.0")
SERVERS: Final = ("uvicorn", "granian", "hypercorn")
CONNECTIONS: Final = (1, 8, 64)
EMPTY: Final = "benchmarks.apps.empty_app:app"
SLEEPY: Final = "benchmarks.apps.sleepy_app:app"
SERVICE: Final = "benchmarks.apps.service_app:app"
_MARK: Final = "ZEROSKEW_BENCHMARK_RUN"
_HALF_REQUEST: Final = b"GET /ready HTTP/1.1\r\nHost: x\r\n"
_HEADER_PATIENCE_SEC: Final = 8.0
_N_PROBES: Final = 20


class Load(NamedTuple):
    """One measurement at full load; the processor time is that of all the server's processes."""

    per_sec: float
    p99_ms: float
    cpu_us: float
    resident_mb: float


class Behaviour(NamedTuple):
    """What a server with two workers did; the counts are out of `_N_PROBES`."""

    closed_slow_headers: int
    answered_after_stop: int
    replaced_worker_sec: float | None


class Running(NamedTuple):
    """A started server: its process, its port, and the mark in its processes' environments."""

    process: ServerProcess
    port: int
    mark: bytes

    def parent(self) -> int:
        """Return the id of the server's first process."""
        parents = self._parents()
        return next(process for process, parent in parents.items() if parent not in parents)

    def workers(self) -> set[int]:
        """Return the ids of the processes that the first one started."""
        parents = self._parents()
        return {process for process, parent in parents.items() if parent in parents}

    def _parents(self) -> dict[int, int]:
        """Return each of the server's processes with its parent, without Python's tracker."""
        parents = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                is_ours = self.mark in (folder / "environ").read_bytes()
                if is_ours and b"resource_tracker" not in (folder / "cmdline").read_bytes():
                    status = (folder / "stat").read_text().rpartition(")")[2].split()
                    parents[int(folder.name)] = int(status[1])
        return parents


class Bench:
    """Starts servers on a project's files and measures them.

    Parameters
    ----------
    project
        The folder with ``var/``.
    seconds
        How long one measurement takes.
    """

    def __init__(self, project: Path, seconds: int) -> None:
        self._project = project
        self._seconds = seconds
        self._wrk = find_wrk()
        self.programs = install("servers", OTHERS, project)
        self._packages = next(self.programs.parent.glob("lib/python*/site-packages"))
        self._lines = project / "requests.txt"

    def write_request(self, application: str) -> None:
        """Write the request that the load tool repeats."""
        example = read_examples(self._project)[0]
        path = "/empty" if application == EMPTY else example.path
        self._lines.write_text(f"{path} {example.body.decode()}\n")

    @contextmanager
    def running(self, server: str, application: str, workers: int) -> Iterator[Running]:
        """Start a server and wait until it answers."""
        port, mark = free_port(), uuid.uuid4().hex
        files = self._project / "var"
        environment = {
            "ZEROSKEW_CLOCK": CLOCK,
            "ZEROSKEW_DATABASE_URL": f"sqlite:///{files}/zeroskew.db",
            "ZEROSKEW_ARTIFACTS_DIR": f"{files}/artifacts",
            "ZEROSKEW_ONLINE_STORE": f"sqlite:///{files}/feast/online.db",
            "ZEROSKEW_PORT": str(port),
            "ZEROSKEW_WORKERS": str(workers),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{self._packages}",
            _MARK: mark,
        }
        command = [sys.executable, *_arguments(server, application, port, workers)]
        process = ServerProcess(
            server,
            command,
            environment=environment,
            core=SERVER_CORE,
            log=self._project / f"{server}.log",
            folder=ROOT,
        )
        try:
            path = "/livez" if application == SERVICE else "/ready"
            wait_for_http(process, f"http://127.0.0.1:{port}{path}")
            yield Running(process, port, f"{_MARK}={mark}".encode())
        finally:
            process.stop()

    def measure_load(self, server: str, application: str) -> list[Load]:
        """Load one worker over each number of connections, after a warm-up."""
        loads = []
        with self.running(server, application, 1) as running:
            base = f"http://127.0.0.1:{running.port}"
            run_wrk(self._wrk, base, self._lines, connections=8, duration_sec=1)
            for connections in CONNECTIONS:
                running.process.wait_until_idle()
                before_sec = running.process.cpu_sec()
                seen = run_wrk(
                    self._wrk,
                    base,
                    self._lines,
                    connections=connections,
                    duration_sec=self._seconds,
                )
                if seen.errors:
                    raise RuntimeError(f"Got {seen.errors} errors from {server}.")
                used_us = (running.process.cpu_sec() - before_sec) * 1e6
                loads.append(
                    Load(
                        seen.per_sec,
                        seen.p99_ms,
                        used_us / seen.requests,
                        running.process.resident_mb(),
                    )
                )
        return loads

    def observe(self, server: str) -> Behaviour:
        """Watch a server with two workers meet slow headers, a dead worker, and its own end."""
        with self.running(server, SLEEPY, 2) as running:
            time.sleep(2.0)  # until both workers have started
            closed = count_closed(running.port)
            replaced_sec = time_replacement(running)
        with self.running(server, SLEEPY, 2) as running:
            time.sleep(2.0)
            answered = count_answered_after_stop(running)
        return Behaviour(closed, answered, replaced_sec)

    def count_service_closed(self) -> int:
        """Return how many slow connections the service itself closes."""
        with self.running("service", SERVICE, 1) as running:
            return count_closed(running.port)


def _arguments(server: str, application: str, port: int, workers: int) -> list[str]:
    address = ["--port", str(port), "--workers", str(workers)]
    if server == "service":
        return ["-m", "api"]
    if server == "uvicorn":
        options = ["--loop", "uvloop", "--http", "httptools", "--ws", "none", "--no-access-log"]
        return ["-m", "uvicorn", application, *address, *options]
    if server == "granian":
        options = ["--interface", "asgi", "--loop", "uvloop", "--no-ws", "--no-access-log"]
        options += ["--http1-header-read-timeout", "5000", "--respawn-failed-workers"]
        return ["-m", "granian", application, *address, *options]
    bind = ["--bind", f"127.0.0.1:{port}", "--workers", str(workers)]
    return ["-m", "hypercorn", "--worker-class", "uvloop", *bind, application]


def count_closed(port: int) -> int:
    """Return how many connections with half a request the server closes in good time."""
    with ExitStack() as stack:
        probes = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(_N_PROBES)
        ]
        for probe in probes:
            probe.sendall(_HALF_REQUEST)
        time.sleep(_HEADER_PATIENCE_SEC)
        return sum(_is_closed(probe) for probe in probes)


def _is_closed(probe: socket.socket) -> bool:
    probe.settimeout(0.01)
    try:
        while probe.recv(1000):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def time_replacement(running: Running) -> float | None:
    """Kill a worker and return the seconds until two run again; ``None`` if none comes."""
    before = running.workers()
    os.kill(min(before), signal.SIGKILL)
    begin = time.monotonic()
    while time.monotonic() < begin + 15:
        if len(running.workers() - {min(before)}) >= len(before):
            elapsed_sec = time.monotonic() - begin
            time.sleep(2.0)  # until the new one listens
            return elapsed_sec
        time.sleep(0.05)
    return None


def count_answered_after_stop(running: Running) -> int:
    """Return how many requests under way are still answered after SIGTERM."""
    with ThreadPoolExecutor(_N_PROBES) as threads:
        waiting = [threads.submit(_ask_sleepy, running.port) for _ in range(_N_PROBES)]
        time.sleep(0.5)
        os.kill(running.parent(), signal.SIGTERM)
        return sum(answer.result() for answer in waiting)


def _ask_sleepy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request("GET", "/sleep")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def describe_load(server: str, rounds: Sequence[Sequence[Load]], cpu_of_first: list[float]) -> str:
    """Return a server's row: figures for each number of connections, medians over rounds."""
    cells = []
    for number, measured in enumerate(zip(*rounds, strict=True)):
        per_sec, p99_ms, cpu_us, _ = (median(column) for column in zip(*measured, strict=True))
        if number == len(cpu_of_first):
            cpu_of_first.append(cpu_us)
        cells.append(
            f"{per_sec:,.0f} | {p99_ms:.1f} | {cpu_us:.0f} ({cpu_us / cpu_of_first[number]:.2f})"
        )
    resident_mb = median(load.resident_mb for loads in rounds for load in loads)
    return f"| {server} | {' | '.join(cells)} | {resident_mb:.0f} |"


def main() -> None:
    """Measure every server and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    bench = Bench(arguments.project.resolve(), arguments.seconds)
    say = sys.stdout.write
    names = [package.partition("==")[0] for package in OTHERS]
    say(f"uvicorn {version('uvicorn')}, {installed_versions(bench.programs, names)}\n")
    columns = " | ".join(f"{n} conn.: req/s | p99 ms | CPU µs (ratio)" for n in CONNECTIONS)
    for title, application in (("empty endpoint", EMPTY), ("the service, one row", SERVICE)):
        bench.write_request(application)
        rounds = [
            {server: bench.measure_load(server, application) for server in SERVERS}
            for _ in range(arguments.rounds)
        ]
        say(f"\n| {title} | {columns} | memory MB |\n|{' --- |' * (2 + 3 * len(CONNECTIONS))}\n")
        cpu_of_first: list[float] = []
        for server in SERVERS:
            say(describe_load(server, [seen[server] for seen in rounds], cpu_of_first) + "\n")
    say("\n| two workers | slow headers closed | dead worker replaced | answered after SIGTERM |\n")
    say("| --- | --- | --- | --- |\n")
    for server in SERVERS:
        seen = bench.observe(server)
        replaced = "no" if seen.replaced_worker_sec is None else f"{seen.replaced_worker_sec:.1f} s"
        say(
            f"| {server} | {seen.closed_slow_headers} of {_N_PROBES} | {replaced} "
            f"| {seen.answered_after_stop} of {_N_PROBES} |\n"
        )
    say(f"| the service (uvicorn) | {bench.count_service_closed()} of {_N_PROBES} | | |\n")


if __name__ == "__main__":
    main()
