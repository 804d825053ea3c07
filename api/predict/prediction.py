"""What the predictor gives: scores, and what they were computed from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from zeroskew.model.plan.feature_matrix import FeatureMatrix
from zeroskew.model.requests.instances import Instances
from zeroskew.online.reader import StoredFeatures

__all__ = ["Prediction"]


@dataclass(slots=True, eq=False)
class Prediction:
    """Scores, the time they were computed for, and the features they came from.

    ``scores`` is float64 ``(n_rows,)`` or ``(n_rows, n_classes)``, all of it finite.
    ``features`` and ``stored`` may be of several requests that were predicted together: this
    one's rows begin at ``first_row``. ``stored`` is what was read, ``None`` where nothing was, or
    more than `MOST_TOLD` values; ``is_degraded`` says that defaults stand for it, because the store
    is down.
    """

    as_of: datetime
    instances: Instances
    features: FeatureMatrix
    stored: StoredFeatures | None
    is_degraded: bool
    scores: NDArray[np.float64]
    first_row: int = 0

    def take_rows(self, instances: Instances, first_row: int) -> Prediction:
        """Return the part of a prediction that is about `instances`."""
        scores = self.scores[first_row : first_row + len(instances.rows)]
        return Prediction(
            as_of=self.as_of,
            instances=instances,
            features=self.features,
            stored=self.stored,
            is_degraded=self.is_degraded,
            scores=scores,
            first_row=first_row,
        )
