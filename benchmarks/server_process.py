"""Server processes on a core of their own: started, waited for, metered and stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = [
    "LOAD_CORE",
    "SERVER_CORE",
    "ServerError",
    "ServerProcess",
    "free_port",
    "pinned",
    "read_cpu_sec",
    "start_redis",
    "wait_for_http",
]

SERVER_CORE: Final = 0
"""Every server that is measured runs on this core, alone while it is measured."""

LOAD_CORE: Final = 1
"""The load tools, and Redis, which in production is another machine, run on this one."""

START_TIMEOUT_SEC: Final = 120.0
STOP_TIMEOUT_SEC: Final = 10.0
IDLE_TIMEOUT_SEC: Final = 60.0
_POLL_SEC: Final = 0.1
_IDLE_SHARE: Final = 0.2
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """A server did not start, died, or gave another answer than expected."""


def free_port() -> int:
    """Return a TCP port of the loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pinned(command: Sequence[str], core: int) -> list[str]:
    """Return ``command``, run on one core; without a second core it is left alone."""
    if (os.cpu_count() or 1) < 2 or shutil.which("taskset") is None:
        return list(command)
    return ["taskset", "-c", str(core), *command]


class ServerProcess:
    """A server in a session of its own, with everything that it starts.

    Parameters
    ----------
    name
        What messages call it.
    command
        The program and its arguments.
    environment
        Variables on top of this process's.
    core
        The core it runs on.
    log
        The file that gets what it prints.
    folder
        Its working directory.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        core: int,
        log: Path,
        folder: Path,
    ) -> None:
        self.name = name
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        # One thread for each numerical library: the server has one core.
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TZ": "UTC"}
        with log.open("w") as output:
            self._process = subprocess.Popen(  # noqa: S603 - commands of this module's callers
                pinned(command, core),
                cwd=folder,
                env=os.environ | threads | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Wait until ``is_ready``.

        Raises
        ------
        ServerError
            If the process ends first, or is not ready within `START_TIMEOUT_SEC`.
        """
        deadline = time.monotonic() + START_TIMEOUT_SEC
        while not is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self._log.read_text(errors="replace")[-2000:]
                raise ServerError(f"Got no answer from {self.name}, which printed:\n{tail}")
            time.sleep(_POLL_SEC)

    def cpu_sec(self) -> float:
        """Return the CPU time that the process and its children have used, threads included."""
        return sum(read_cpu_sec(pid) for pid in _process_tree(self._process.pid))

    def wait_until_idle(self) -> None:
        """Wait until the process has worked off what a load tool left behind.

        Raises
        ------
        ServerError
            If it is still busy after `IDLE_TIMEOUT_SEC`.
        """
        deadline = time.monotonic() + IDLE_TIMEOUT_SEC
        used_sec = self.cpu_sec()
        while True:
            time.sleep(_POLL_SEC)
            before_sec, used_sec = used_sec, self.cpu_sec()
            if used_sec - before_sec <= _IDLE_SHARE * _POLL_SEC:
                return
            if time.monotonic() > deadline:
                raise ServerError(f"Got a busy {self.name} without load, but expected an idle one")

    def resident_mb(self) -> float:
        """Return the resident memory of the process and its children in MB (10^6 bytes)."""
        page = os.sysconf("SC_PAGE_SIZE")
        pages = 0
        for pid in _process_tree(self._process.pid):
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * page / 1e6

    def stop(self) -> None:
        """End the process and everything that it started."""
        group = self._process.pid
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_SEC)
        # A server whose parent died first may still hold its port.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def read_cpu_sec(pid: int) -> float:
    """Return the CPU time, user and system, of a process's threads and its dead children."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # After the name come fields 3 and up; 14 to 17 are utime, stime, cutime and cstime.
    return sum(map(int, fields[11:15])) / _TICKS


def wait_for_http(server: ServerProcess, url: str) -> None:
    """Wait until ``url`` answers with 200."""

    def answers() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    server.wait_until(answers)


def start_redis(folder: Path) -> tuple[ServerProcess, int]:
    """Start a Redis of our own on the load tool's core; return it and its port.

    Raises
    ------
    ServerError
        If there is no ``redis-server`` on this machine, or it does not start.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise ServerError("Got no redis-server, but expected one; Debian: apt install redis-server")
    port = free_port()
    options = {"port": port, "bind": "127.0.0.1", "save": "", "appendonly": "no"}
    command = [
        program,
        *(part for key, value in options.items() for part in (f"--{key}", str(value))),
    ]
    server = ServerProcess(
        "redis", command, environment={}, core=LOAD_CORE, log=folder / "redis.log", folder=folder
    )

    def accepts() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    server.wait_until(accepts)
    return server, port


def _process_tree(root: int) -> list[int]:
    """Return a process and its living descendants."""
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                queue += map(int, children.read_text().split())
    return found
