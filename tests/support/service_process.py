"""A service in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

__all__ = ["ROOT", "Server", "make_environment"]

ROOT = Path(__file__).parents[2]


def make_environment(folder: Path, online_store: Path, **settings: str) -> dict[str, str]:
    """Return what a server's process finds in its environment; `settings` stand for ours."""
    return {
        **os.environ,
        "ZEROSKEW_DATABASE_URL": f"sqlite:///{folder}/zeroskew.db",
        "ZEROSKEW_ARTIFACTS_DIR": str(folder / "artifacts"),
        "ZEROSKEW_ONLINE_STORE": f"sqlite:///{online_store}",
        "ZEROSKEW_CLOCK": "2013-10-01T12:00:00Z",
        "ZEROSKEW_PORT": "0",
        "ZEROSKEW_LOG_FORMAT": "json",
        "ZEROSKEW_MAX_BODY_BYTES": "2000",
        **settings,
    }


class Server:
    """A process of ``python -m api`` and the address that its log names."""

    def __init__(self, folder: Path, online_store: Path, **settings: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "api"],
            cwd=ROOT,
            env=make_environment(folder, online_store, **settings),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[dict[str, object]] = []
        self.url = self._read_until("running on")
        # A server whose log nobody reads stops when the pipe is full.
        self._reader = threading.Thread(target=self._read_rest, daemon=True)
        self._reader.start()

    def _read_rest(self) -> None:
        assert self.process.stderr is not None
        lines = iter(self.process.stderr)
        while True:
            try:
                line = next(lines, None)
            except ValueError:  # It is closed: nobody wants the rest.
                return
            if line is None:
                return
            self.log.append(json.loads(line))

    def _read_until(self, text: str) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(json.loads(line))
            if text in str(self.log[-1]["event"]):
                found = re.search(r"http://[\d.]+:\d+", str(self.log[-1]["event"]))
                assert found
                return found[0]
        raise AssertionError(self.log)

    def stop(self, told: signal.Signals = signal.SIGTERM) -> int:
        """Send SIGTERM or another signal, and wait until it has ended and its log is read."""
        self.process.send_signal(told)
        return self._wait()

    def kill(self) -> None:
        """End it at once."""
        if self.process.poll() is None:
            self.process.kill()
        self._wait()

    def _wait(self) -> int:
        status = self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status
