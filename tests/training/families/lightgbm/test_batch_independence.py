"""A row scores to the bit alike alone and in any batch: no answer could be replayed otherwise."""

import numpy as np
import pytest

from tests.support.boosters import fit_booster, make_rows
from training.export.export_onnx import export_onnx, serialize_model
from training.families.lightgbm.estimator import LightgbmEstimator
from zeroskew.features.onnx_graph import open_session

OBJECTIVES = (
    "regression",
    "poisson",
    "gamma",
    "tweedie",
    "binary",
    "cross_entropy",
    "cross_entropy_lambda",
    "multiclass",
    "multiclassova",
)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_row_scores_alike_alone_and_in_any_batch(objective: str) -> None:
    booster, _ = fit_booster(objective, n_iterations=20)
    rows = make_rows(400, missing="nan", seed=5)
    model = export_onnx(LightgbmEstimator.of(booster), n_columns=rows.shape[1])
    session = open_session(serialize_model(model))

    def score(part: np.ndarray) -> bytes:
        return bytes(session.run(["scores"], {"features": part})[0].tobytes())

    alone = [score(rows[i : i + 1]) for i in range(len(rows))]
    for size in (2, 3, 7, 8, 33, 129, 400):
        for start in range(0, len(rows), size):
            batch = score(rows[start : start + size])
            assert batch == b"".join(alone[start : start + size]), (size, start)
