"""Computes logged predictions again, from the model's file and the logged matrix alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, Field

from api.prediction.active_model import ActiveModel
from api.prediction_log.logged_rows import LoggedRow

__all__ = ["ReplayedRow", "replay_rows"]


class ReplayedRow(BaseModel):
    """One row's scores, as logged and as computed again."""

    row: int
    is_equal: bool = Field(description="Whether they are equal to the bit.")
    logged: list[float]
    replayed: list[float]


def replay_rows(model: ActiveModel, rows: Sequence[LoggedRow]) -> list[ReplayedRow]:
    """Run a model on the logged inputs of some rows, and compare.

    Parameters
    ----------
    model
        The version that the rows name.
    rows
        Rows of that version; any number.

    Returns
    -------
    list of ReplayedRow
        One for each row. The load gate has proved that a row's score does not depend on the
        rows beside it, so that it makes no difference that these are run together.
    """
    features = np.frombuffer(b"".join(row.features for row in rows), "<f4")
    request = np.frombuffer(b"".join(row.request_inputs for row in rows), "<f8")
    scores = np.asarray(
        model.session.run(
            features.reshape(len(rows), model.plan.n_columns),
            request.reshape(len(rows), model.plan.n_request_inputs),
        ),
        "<f8",
    )
    return [
        ReplayedRow(
            row=row.row,
            is_equal=score.tobytes() == row.output,
            logged=np.frombuffer(row.output, "<f8").tolist(),
            replayed=np.atleast_1d(score).tolist(),
        )
        for row, score in zip(rows, scores, strict=True)
    ]
