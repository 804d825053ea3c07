"""Runs a model once for the requests that are ready at the same moment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from api.prediction.model_session import ModelSession

__all__ = ["ModelBatches"]

_Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Waiting:
    features: NDArray[np.float32]
    request: NDArray[np.float64]
    scores: asyncio.Future[_Scores]


class ModelBatches:
    """Gathers what several requests ask of a model in one turn of the event loop.

    A graph costs nearly the same for one row as for ten, because each of its operations has
    a price of its own. Nobody waits for company: whatever is ready when the loop comes round
    is one batch. A row scores the same in a batch as alone; the load gate proves it.
    """

    def __init__(self) -> None:
        self._waiting: Final[WeakKeyDictionary[ModelSession, list[_Waiting]]] = WeakKeyDictionary()

    async def run(
        self, session: ModelSession, features: NDArray[np.float32], request: NDArray[np.float64]
    ) -> _Scores:
        """Return the scores of some rows, as `ModelSession.run` does.

        Raises
        ------
        Exception
            What the runtime raised for the batch.
        """
        loop = asyncio.get_running_loop()
        waiting = self._waiting.setdefault(session, [])
        if not waiting:
            loop.call_soon(self._run_waiting, session)
        one = _Waiting(features, request, loop.create_future())
        waiting.append(one)
        return await one.scores

    def _run_waiting(self, session: ModelSession) -> None:
        waiting = self._waiting.pop(session)
        while waiting:
            n_taken = _count_that_fit(waiting, session.inline_rows)
            _run_batch(session, waiting[:n_taken])
            waiting = waiting[n_taken:]


def _count_that_fit(waiting: list[_Waiting], max_rows: int) -> int:
    """Return how many requests, the first in any case, have at most `max_rows` rows."""
    n_rows = 0
    for index, one in enumerate(waiting):
        n_rows += len(one.features)
        if n_rows > max_rows and index:
            return index
    return len(waiting)


def _run_batch(session: ModelSession, batch: list[_Waiting]) -> None:
    try:
        scores = session.run(
            np.concatenate([one.features for one in batch]),
            np.concatenate([one.request for one in batch]),
        )
    except Exception as error:
        for one in batch:
            if not one.scores.done():
                one.scores.set_exception(error)
        return
    start = 0
    for one in batch:
        end = start + len(one.features)
        if not one.scores.done():  # Its client may have gone away.
            one.scores.set_result(scores[start:end])
        start = end
