"""LightGBM behind BentoML, the model alone. It runs in BentoML's own environment."""

# BentoML reads the annotations when the class is made, so they are not postponed here.
import os

import bentoml  # type: ignore[import-not-found]  # installed only where this file runs
import lightgbm as lgb
import numpy as np


@bentoml.service(workers=1, metrics={"enabled": False})
class Scorer:
    """Scores rows of features."""

    def __init__(self) -> None:
        self._booster = lgb.Booster(model_file=os.environ["BENCH_BOOSTER"])

    @bentoml.api
    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return a score for each row, float64 ``(n_rows,)``."""
        return np.asarray(self._booster.predict(features))
