"""Predicts at once what several requests ask of a model at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from api.predict.prediction import Prediction
from zeroskew.contract.errors.service import OnlineStoreUnavailableError
from zeroskew.model.load_gate import ActiveModel
from zeroskew.model.requests.instances import Instances

__all__ = ["PredictionBatches"]


@dataclass(slots=True, eq=False)
class _Waiting:
    instances: Instances
    prediction: asyncio.Future[Prediction]


class PredictionBatches:
    """Gathers what is asked of a model in one turn of the event loop, and predicts it together.

    A round trip to the store, an array and an operation of a graph each cost nearly the same
    for one row as for ten, and entities that several requests name are read once. Nobody
    waits for company: whatever is ready when the loop comes round is one batch. What does not
    fit into it is the next turn's, so that the loop sees to everybody else in between. A row
    scores the same in a batch as alone; the load gate proves it.

    Parameters
    ----------
    predict
        Predicts the instances of one batch.
    count_rows_at_once
        Returns how many rows of a model are predicted at once, rather than in turns.
    """

    def __init__(
        self,
        predict: Callable[[ActiveModel, Instances], Awaitable[Prediction]],
        count_rows_at_once: Callable[[ActiveModel], int],
    ) -> None:
        self._predict = predict
        self._count_rows_at_once = count_rows_at_once
        self._waiting: dict[ActiveModel, list[_Waiting]] = {}
        # The event loop itself keeps only weak references to tasks.
        self._tasks: set[asyncio.Task[None]] = set()

    async def predict(self, model: ActiveModel, instances: Instances) -> Prediction:
        """Return the prediction of some instances.

        Raises
        ------
        Exception
            What predicting them raises. An error that another request's instances may have
            caused is not theirs: then each request is predicted alone.
        """
        loop = asyncio.get_running_loop()
        waiting = self._waiting.setdefault(model, [])
        if not waiting:
            loop.call_soon(self._start, model)
        one = _Waiting(instances, loop.create_future())
        waiting.append(one)
        return await one.prediction

    def _start(self, model: ActiveModel) -> None:
        # A client may have gone away meanwhile.
        waiting = [one for one in self._waiting.pop(model) if not one.prediction.done()]
        n_taken = _count_that_fit(
            waiting, min(model.session.inline_rows, self._count_rows_at_once(model))
        )
        if n_taken < len(waiting):
            self._waiting[model] = waiting[n_taken:]
            asyncio.get_running_loop().call_soon(self._start, model)
        if n_taken:
            self._run(self._predict_together(model, waiting[:n_taken]))

    def _run(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _predict_together(self, model: ActiveModel, batch: Sequence[_Waiting]) -> None:
        try:
            prediction = await self._predict(model, _join([one.instances for one in batch]))
        except Exception as error:
            if len(batch) == 1:
                _fail(batch[0], error)
            elif isinstance(error, OnlineStoreUnavailableError):
                # The store's fault, not a request's: asking it again for each would not help.
                for one in batch:
                    _fail(one, error)
            else:
                for one in batch:
                    self._run(self._predict_together(model, [one]))
            return
        first_row = 0
        for one in batch:
            if not one.prediction.done():
                one.prediction.set_result(prediction.take_rows(one.instances, first_row))
            first_row += len(one.instances.rows)


def _count_that_fit(waiting: Sequence[_Waiting], max_rows: int) -> int:
    """Return how many requests, the first in any case, have at most `max_rows` rows."""
    n_rows = 0
    for index, one in enumerate(waiting):
        n_rows += len(one.instances.rows)
        if n_rows > max_rows and index:
            return index
    return len(waiting)


def _join(parts: Sequence[Instances]) -> Instances:
    """Return the instances of several requests as one request's."""
    if len(parts) == 1:
        return parts[0]
    rows = [row for part in parts for row in part.rows]
    if not any(part.overrides for part in parts):
        return Instances(rows, ())
    overrides = [one for part in parts for one in part.overrides or [{}] * len(part.rows)]
    return Instances(rows, overrides)


def _fail(one: _Waiting, error: Exception) -> None:
    if one.prediction.done():
        return
    if isinstance(error, OnlineStoreUnavailableError):
        # Each waiter raises its own copy: a traceback grows where it is raised.
        copy = type(error)(*error.args)
        copy.__cause__ = error.__cause__
        error = copy
    one.prediction.set_exception(error)
