from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.server_process import ServerError, ServerProcess, read_cpu_sec, wait_for_http
from tests.support.waiting import wait_until

BURN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
PARENT = (
    "import subprocess, sys, time\n"
    f"child = subprocess.Popen([sys.executable, '-c', {BURN + 'time.sleep(60)'!r}])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)\n"
)


def start(tmp_path: Path, code: str) -> ServerProcess:
    return ServerProcess(
        "trial",
        [sys.executable, "-c", code],
        environment={},
        core=0,
        log=tmp_path / "log.txt",
        folder=tmp_path,
    )


def test_the_cpu_of_children_counts_and_they_end_with_their_parent(tmp_path: Path) -> None:
    server = start(tmp_path, PARENT)
    try:
        server.wait_until(lambda: server.cpu_sec() >= 0.3)
        child = int((tmp_path / "log.txt").read_text())
        assert read_cpu_sec(child) >= 0.25
        server.wait_until_idle()
    finally:
        server.stop()

    wait_until(lambda: has_ended(child))


def has_ended(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def test_a_server_that_dies_is_told_with_what_it_printed(tmp_path: Path) -> None:
    server = start(tmp_path, "raise SystemExit('no such setting')")

    with pytest.raises(ServerError, match="no such setting"):
        wait_for_http(server, "http://127.0.0.1:9/")
    server.stop()


def test_the_cpu_of_no_process_is_none() -> None:
    assert read_cpu_sec(2**22 + 1) == 0.0
    assert read_cpu_sec(os.getpid()) > 0.0
