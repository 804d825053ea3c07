"""Computes logged predictions again, from the model's file and the logged matrix alone."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from zeroskew.contract.answer_model import AnswerModel
from zeroskew.model.load_gate import ActiveModel
from zeroskew.records.prediction_log.logged_row import LoggedRow

__all__ = ["ReplayedRow", "replay_row"]


class ReplayedRow(AnswerModel):
    """One instance's scores, as logged and as computed again."""

    row: int
    is_equal: bool = Field(description="Whether they are equal to the bit.")
    logged: list[float]
    replayed: list[float]


def replay_row(model: ActiveModel, row: LoggedRow) -> list[ReplayedRow]:
    """Run a model on the logged inputs of what it answered, and compare.

    Parameters
    ----------
    model
        The version that the row names.
    row
        A row of the log that has scores.

    Returns
    -------
    list of ReplayedRow
        One for each instance.
    """
    features = np.frombuffer(row.features, "<f4").reshape(row.n_rows, model.plan.n_columns)
    request = np.frombuffer(row.request_inputs, "<f8")
    scores = model.session.run(
        features, request.reshape(row.n_rows, model.plan.n_request_inputs)
    ).reshape(row.n_rows, -1)
    logged = np.frombuffer(row.output, "<f8").reshape(row.n_rows, -1)
    return [
        ReplayedRow(
            row=number,
            is_equal=before.tobytes() == after.tobytes(),
            logged=before.tolist(),
            replayed=after.tolist(),
        )
        for number, before, after in zip(row.list_numbers(), logged, scores, strict=True)
    ]
