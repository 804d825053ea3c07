"""Feast's own feature server. It looks the same feature service up, and predicts nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.bench_project import Batch
from benchmarks.sides.side import Side, require_close

__all__ = ["FeastServe"]


class FeastServe(Side):
    """``feast serve`` with one worker."""

    title = "feast serve (no model)"
    stores = ("redis", "sqlite")
    ready_path = "/health"

    def command(self) -> Sequence[str]:
        """Return Feast's command; its worker is not restarted after 1,000 requests."""
        feast = str(Path(sys.executable).with_name("feast"))
        options = ["--no-access-log", "--workers", "1", "--max-requests", "0"]
        options += ["--max-requests-jitter", "0"]
        repo = str(self.feature_repo.resolve())
        return [feast, "--chdir", repo, "serve", "--port", str(self.port), *options]

    def environment(self) -> dict[str, str]:
        """Let the repo's request-time functions be imported by their bare names."""
        return {"PYTHONPATH": str(self.feature_repo.resolve())}

    def request(self, batch: Batch) -> tuple[str, Any]:
        """Return the feature server's request for the feature service."""
        plan = self.context.project.manifest.plan
        names = batch.instances[0]
        return "/get-online-features", {
            "feature_service": plan.feature_service,
            "entities": {name: [row[name] for row in batch.instances] for name in names},
            "full_feature_names": True,
        }

    def check_answer(self, batch: Batch, answer: Any) -> None:
        """Compare every column with the SDK's."""
        names = answer["metadata"]["feature_names"]
        got = {
            name: result["values"] for name, result in zip(names, answer["results"], strict=True)
        }
        for name, values in batch.online.items():
            require_close(f"{self.label}, {name}", got[name], values)
