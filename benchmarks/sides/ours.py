"""The service of this project: features and model, one worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.bench_project import MODEL, Batch
from benchmarks.environments import install_service
from benchmarks.sides.side import Side, require_close
from tests.support.flights_project import CLOCK

__all__ = ["Ours"]


class Ours(Side):
    """``python -m api`` with the settings a user has, but for the prediction log."""

    title = "Zeroskew"
    stores = ("redis", "sqlite")
    ready_path = "/readyz"

    def command(self) -> Sequence[str]:
        """Return the service's own command, in an environment with what its image has."""
        programs = install_service(self.context.project.home)
        return [str(programs / "python"), "-m", "api"]

    def environment(self) -> dict[str, str]:
        """Return its settings: where the models and the features are, and what time it is."""
        settings = self.context.project.flights.workspace.service_environment()
        if self.store == "redis":
            settings["ZEROSKEW_ONLINE_STORE"] = f"redis://127.0.0.1:{self.context.redis_port}/0"
        return settings | {
            "ZEROSKEW_CLOCK": CLOCK.isoformat(),
            "ZEROSKEW_PORT": str(self.port),
            # No other side keeps what it predicts; `benchmarks.prediction_log` has the cost.
            "ZEROSKEW_LOG_MODE": "off",
        }

    def request(self, batch: Batch) -> tuple[str, Any]:
        """Return the V1 request."""
        return f"/v1/models/{MODEL}:predict", {"instances": batch.instances}

    def check_answer(self, batch: Batch, answer: Any) -> None:
        """Compare with LightGBM on the SDK's features."""
        scores = [prediction["probability"] for prediction in answer["predictions"]]
        require_close(self.label, scores, batch.scores.tolist())
