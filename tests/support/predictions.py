"""A loaded model, and predictions of it for the log, made up."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from api.predict.prediction import Prediction
from api.predictions.logged_rows import PredictionRecord
from tests.support.manifests import make_manifest, publish, sum_graph
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.model.load_gate import ActiveModel, load_model
from zeroskew.model.plan.feature_matrix import FeatureMatrix, FeatureOrigins
from zeroskew.model.requests.field_types import InstanceLimits
from zeroskew.model.requests.instances import Instances
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = ["load_sum_model", "make_record"]

_AS_OF: Final = datetime(2013, 10, 1, 12, 0, tzinfo=UTC)


def load_sum_model(folder: Path) -> ActiveModel:
    """Publish the flights-like model in `folder`, and load it."""
    graph = sum_graph(6, 2)
    publish(folder, make_manifest(graph), graph)
    registry = ModelRegistry.open(f"sqlite:///{folder}/zeroskew.db")
    registered = registry.resolve_alias("arrival_delay", "champion")
    registry.close()
    return load_model(registered, ArtifactStore(folder / "artifacts"), InstanceLimits(100, 256))


def make_record(
    model: ActiveModel, number: int, n_rows: int = 1, **changes: Any
) -> PredictionRecord:
    """Return a record whose id tells its number, of rows whose features do."""
    features = np.arange(number, number + n_rows, dtype=np.float32)[:, None].repeat(6, 1)
    request = np.full((n_rows, 2), number, np.float64)
    origins = FeatureOrigins(
        np.zeros((n_rows, 4), np.uint8), np.full((n_rows, 4), NEVER_US, np.int64)
    )
    rows: list[Any] = [
        ("UA", "EWR", None, number, 1.5, False, float(place)) for place in range(n_rows)
    ]
    prediction = Prediction(
        as_of=_AS_OF,
        instances=Instances(rows, ()),
        features=FeatureMatrix(features, request, origins),
        stored=None,
        is_degraded=False,
        scores=model.session.run(features, request),
    )
    values: dict[str, Any] = {
        "id": f"00000000-0000-7000-8000-{number:012x}",
        "model": model,
        "prediction": prediction,
        "latency_us": 1,
        "request_id": "abc",
    }
    return PredictionRecord(**(values | changes))
