"""MLServer with the LightGBM model alone: no feature is looked up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.bench_project import Batch
from benchmarks.environments import MLSERVER, install
from benchmarks.server_process import free_port
from benchmarks.sides.side import Side, require_close

__all__ = ["MlServer"]


class MlServer(Side):
    """``mlserver start``, inference in the server's own process, which is its fastest."""

    title = "MLServer (model alone)"
    stores = ("none",)
    ready_path = "/v2/models/alone/ready"

    def command(self) -> Sequence[str]:
        """Return MLServer's command, its configuration written."""
        folder = self.folder
        settings = {
            "host": "127.0.0.1",
            "http_port": self.port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "parallel_workers": 0,
            "debug": False,
        }
        model = {
            "name": "alone",
            "implementation": "mlserver_lightgbm.LightGBMModel",
            "parameters": {"uri": str(self.context.project.alone_booster_file.resolve())},
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps(model))
        programs = install("mlserver", MLSERVER, self.context.project.home)
        return [str(programs / "mlserver"), "start", str(folder)]

    def request(self, batch: Batch) -> tuple[str, Any]:
        """Return the Open Inference Protocol's request."""
        tensor = {"name": "features", "datatype": "FP64", "shape": list(batch.dense.shape)}
        body = {"inputs": [tensor | {"data": batch.dense.ravel().tolist()}]}
        return "/v2/models/alone/infer", body

    def check_answer(self, batch: Batch, answer: Any) -> None:
        """Compare with LightGBM itself."""
        require_close(self.label, answer["outputs"][0]["data"], batch.dense_scores.tolist())
