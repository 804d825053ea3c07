"""A service of two workers in processes of their own."""

import json
from pathlib import Path

from tests.support.service_process import Server
from tests.support.waiting import PATIENCE_SEC

__all__ = ["PREDICT", "WorkerServer"]

PREDICT = "/v1/models/arrival_delay:predict"


class WorkerServer(Server):
    """A service of two workers, whose log is read while it is written."""

    def __init__(self, folder: Path, online_store: Path) -> None:
        # Unbuffered, as in most containers: the workers still write whole lines.
        self.lines: list[str] = []
        super().__init__(folder, online_store, ZEROSKEW_WORKERS="2", PYTHONUNBUFFERED="1")

    def _read_rest(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as log:
            self.lines.extend(log)

    def workers(self) -> set[int]:
        """Return the process ids of the workers, without that of Python's resource tracker."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {
            child
            for child in map(int, listed.split())
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        }

    def count_ready(self) -> int:
        """Return how many workers have logged that they listen."""
        return sum("startup complete" in line for line in list(self.lines))

    def end(self) -> int:
        """Send SIGTERM, wait for the end of the processes and of the log."""
        self.process.terminate()
        status = self.process.wait(PATIENCE_SEC)
        self._reader.join()
        return status

    def count_finished(self) -> int:
        """Return how many predictions the log says were answered with scores."""
        logged = [json.loads(line) for line in self.lines]
        return sum(line.get("path") == PREDICT and line["status"] == 200 for line in logged)
