"""From validated instances to scores: look up, assemble, run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from api.errors import ScoreError
from api.prediction.active_model import ActiveModel
from api.prediction.clock import Clock, to_epoch_us
from api.prediction.feature_plan import FeatureMatrix
from api.prediction.online_features import OnlineFeatureReader
from api.schemas import RequestRow

__all__ = ["Prediction", "Predictor"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Scores, the time they were computed for, and the features they came from.

    ``scores`` is float64 ``(n_rows,)`` or ``(n_rows, n_classes)``, all of it finite.
    """

    as_of: datetime
    features: FeatureMatrix
    scores: NDArray[np.float64]


class Predictor:
    """Scores instances with a model and the features that are online at this moment.

    Parameters
    ----------
    reader
        Reads the online store.
    clock
        Says what time it is; a value's age is measured against it.
    executor
        Runs a model when the work is too long for the event loop.
    """

    def __init__(self, *, reader: OnlineFeatureReader, clock: Clock, executor: Executor) -> None:
        self._reader = reader
        self._clock = clock
        self._executor = executor

    async def predict(self, model: ActiveModel, rows: Sequence[RequestRow]) -> Prediction:
        """Score `rows`, each a tuple in the order of the manifest's request fields.

        Raises
        ------
        OnlineStoreUnavailableError, OnlineValueError
            If the online store cannot be read or holds what the plan does not expect.
        ScoreError
            If a score is NaN or infinite.
        """
        now = self._clock.now()
        keys = model.plan.serialize_keys(rows)
        stored = await self._reader.read(model.plan.queries(keys))
        features = model.plan.assemble(rows, keys, stored, to_epoch_us(now))
        scores = await self._run(model, features.values, model.plan.request_matrix(rows))
        if not np.isfinite(scores).all():
            raise ScoreError(f"Model {model.name} version {model.version} gave no finite score.")
        return Prediction(as_of=now, features=features, scores=scores)

    async def _run(
        self, model: ActiveModel, features: NDArray[np.float32], request: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        if len(features) <= model.session.inline_rows:
            return model.session.run(features, request)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, model.session.run, features, request)
