"""An empty FastAPI endpoint on the server that the service runs on: the ceiling."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.bench_project import Batch
from benchmarks.server_process import ServerError
from benchmarks.sides.side import Side

__all__ = ["EmptyFastApi"]


class EmptyFastApi(Side):
    """FastAPI that answers ``{}`` and reads nothing."""

    title = "empty FastAPI endpoint"
    stores = ("none",)

    def command(self) -> Sequence[str]:
        """Return uvicorn with the service's own options."""
        options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--ws", "none"]
        app = "benchmarks.apps.empty_app:app"
        return [sys.executable, "-m", "uvicorn", app, "--port", str(self.port), *options]

    def request(self, batch: Batch) -> tuple[str, Any]:
        """Return the service's body, which nobody reads."""
        return "/empty", {"instances": batch.instances}

    def check_answer(self, batch: Batch, answer: Any) -> None:
        """Compare with the empty object."""
        if answer != {}:
            raise ServerError(f"Got {answer!r} for {len(batch.rows)} rows, but expected {{}}")
