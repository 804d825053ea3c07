"""BentoML with the LightGBM model alone: no feature is looked up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.bench_project import Batch
from benchmarks.environments import BENTOML, install
from benchmarks.sides.side import Side, require_close
from tests.support.flights_project import ROOT

__all__ = ["BentoMl"]


class BentoMl(Side):
    """``bentoml serve`` with one worker."""

    title = "BentoML (model alone)"
    stores = ("none",)
    ready_path = "/readyz"

    def command(self) -> Sequence[str]:
        """Return BentoML's command."""
        programs = install("bentoml", BENTOML, self.context.project.home)
        service = ["--working-dir", str(ROOT / "benchmarks" / "apps"), "bento_service:Scorer"]
        return [
            str(programs / "bentoml"),
            "serve",
            "--port",
            str(self.port),
            "--host",
            "127.0.0.1",
            *service,
        ]

    def environment(self) -> dict[str, str]:
        """Return where the model is; nothing is reported to anybody."""
        return {
            "BENCH_BOOSTER": str(self.context.project.alone_booster_file.resolve()),
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOME": str((self.folder / "home").resolve()),
        }

    def request(self, batch: Batch) -> tuple[str, Any]:
        """Return the request for the API named predict."""
        return "/predict", {"features": batch.dense.tolist()}

    def check_answer(self, batch: Batch, answer: Any) -> None:
        """Compare with LightGBM itself."""
        require_close(self.label, answer, batch.dense_scores.tolist())
