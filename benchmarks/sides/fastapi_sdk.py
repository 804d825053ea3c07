"""FastAPI, Feast's SDK and LightGBM in one application."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from benchmarks.bench_project import Batch
from benchmarks.load_tools import run_wrk
from benchmarks.server_process import ServerError
from benchmarks.sides.side import Context, Side, require_close

__all__ = ["CarefulSdk", "UsualSdk"]

WAYS: Final = ("thread", "loop", "await")


class UsualSdk(Side):
    """The application as most people write it: it asks the SDK for the feature service."""

    title = "FastAPI + SDK + LightGBM"
    stores = ("redis", "sqlite")
    asks: ClassVar[str] = "service"

    def __init__(self, context: Context, store: str) -> None:
        super().__init__(context, store)
        self.way = WAYS[1]

    def command(self) -> Sequence[str]:
        """Return uvicorn with its fast loop and parser, and without its access log."""
        app = "benchmarks.apps.sdk_app:app"
        options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
        return [sys.executable, "-m", "uvicorn", app, "--port", str(self.port), *options]

    def environment(self) -> dict[str, str]:
        """Return where the application finds its files."""
        return {
            "BENCH_FEATURE_REPO": str(self.feature_repo.resolve()),
            "BENCH_BOOSTER": str(self.context.project.booster_file.resolve()),
            "BENCH_MANIFEST": str(self.context.project.manifest_file.resolve()),
        }

    def request(self, batch: Batch) -> tuple[str, Any]:
        """Return the request, by the way that was chosen."""
        return f"/{self.asks}/{self.way}", {"instances": batch.instances}

    def check_answer(self, batch: Batch, answer: Any) -> None:
        """Compare with LightGBM on the SDK's features."""
        require_close(self.label, answer["predictions"], batch.scores.tolist())

    def choose_way(self, wrk: str, duration_sec: float) -> dict[str, float]:
        """Take the fastest way to call the SDK that gives no error, at 8 connections.

        Returns
        -------
        per_sec
            Answers a second by way; 0 where one was wrong or failed.
        """
        per_sec = {}
        for way in WAYS:
            self.way = way
            try:
                self.check(1)
                load = run_wrk(
                    wrk, self.base, self.lines(1), connections=8, duration_sec=duration_sec
                )
            except ServerError:
                per_sec[way] = 0.0
                continue
            per_sec[way] = 0.0 if load.errors else load.per_sec
        self.way = max(per_sec, key=per_sec.__getitem__)
        return per_sec


class CarefulSdk(UsualSdk):
    """The same without the SDK's on-demand transformations, which go through pandas."""

    title = "FastAPI + SDK + LightGBM, tuned"
    asks = "stored"
