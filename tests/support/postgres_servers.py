"""PostgreSQL servers of their own, to be killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import psycopg

from tests.support.waiting import PATIENCE_SEC

__all__ = ["PostgresServer", "find_postgres"]

_USER: Final = "postgres"


def find_postgres() -> Path | None:
    """Return the folder of the newest server's programs; Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class PostgresServer:
    """A server on a free port, with its data below ``folder``; it refuses to run as root."""

    def __init__(self, folder: Path) -> None:
        programs = find_postgres()
        assert programs is not None
        self._programs = programs
        self._data = folder / "postgres"
        self._data.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self._data, _USER)
            for parent in self._data.parents:  # pytest's folders are their owner's alone.
                if parent.owner() == "root" and parent != Path("/"):
                    parent.chmod(parent.stat().st_mode | 0o011)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"postgresql://{_USER}@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        options = ["-D", str(self._data), "-U", _USER, "-A", "trust", "-N", "-E", "UTF8"]
        self._run("initdb", *options)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["-D", str(self._data), "-p", str(self.port), "-k", str(self._data)]
        self._process = subprocess.Popen(
            [self._programs / "postgres", *options, "-h", "127.0.0.1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self._as_user(),
        )
        deadline = time.monotonic() + PATIENCE_SEC
        while time.monotonic() < deadline:
            with suppress(psycopg.OperationalError), psycopg.connect(self.url):
                return
            time.sleep(0.05)
        raise AssertionError("PostgreSQL does not answer")

    def kill(self) -> None:
        """Kill it and all its processes at once."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _run(self, program: str, *options: str) -> None:
        subprocess.run(
            [self._programs / program, *options],
            check=True,
            capture_output=True,
            **self._as_user(),
        )

    def _as_user(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        entry = pwd.getpwnam(_USER)
        return {"user": entry.pw_uid, "group": entry.pw_gid}
