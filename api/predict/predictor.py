"""From validated instances to scores: look up, assemble, run."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from api.metrics.service_metrics import ServiceMetrics
from api.predict.prediction import Prediction
from api.predict.prediction_batches import PredictionBatches
from api.predict.wide_work import MOST_TOLD, WideWork
from zeroskew.contract.errors.service import (
    DeadlineError,
    OnlineStoreUnavailableError,
    ScoreError,
    StaleFeatureError,
)
from zeroskew.contract.time.clock import Clock
from zeroskew.contract.time.epoch import from_epoch_us
from zeroskew.model.load_gate import ActiveModel
from zeroskew.model.plan.feature_matrix import FeatureMatrix
from zeroskew.model.requests.instances import Instances
from zeroskew.online.reader import OnlineFeatureReader, StoredFeatures

__all__ = ["Deadlines", "Predictor"]

_Answer = TypeVar("_Answer")
RunAside = Callable[..., Awaitable[NDArray[np.float64]]]
"""Runs a call with its arguments somewhere else than in the event loop."""

_LookedUp: TypeAlias = tuple[FeatureMatrix, StoredFeatures | None, bool]
_log: Final = structlog.get_logger(__name__)


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
    timeout_sec
        How long an answer may take, unless it is a wide request's.
    wide
        Says which requests are wide, and lets them take turns.
    metrics
        Times the stages.
    """

    def __init__(
        self,
        *,
        reader: OnlineFeatureReader,
        clock: Clock,
        executor: Executor,
        timeout_sec: float,
        wide: WideWork,
        metrics: ServiceMetrics,
    ) -> None:
        self._deadlines = Deadlines(timeout_sec)
        self._metrics = metrics
        self._reader = reader
        self._clock = clock
        self._executor = executor
        self._wide = wide
        self._batches = PredictionBatches(
            self._predict, lambda model: wide.count_rows_at_once(len(model.plan.features))
        )
        self.n_reads: Counter[str] = Counter()
        """How many reads of the online store were ``ok``, and how many ``failed``."""
        self.is_store_up: bool | None = None
        """Whether the last read of the online store worked; ``None`` before the first."""
        self._n_under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def now(self) -> datetime:
        """Return what time it is for predictions."""
        return self._clock.now()

    async def predict(self, model: ActiveModel, instances: Instances) -> Prediction:
        """Score `instances`, parsed by the model's own schema.

        Raises
        ------
        OnlineStoreUnavailableError, OnlineValueError
            If the online store cannot be read, and the model's policy is to fail then; if it
            holds what the plan does not expect.
        StaleFeatureError
            If a value is not live and its view's policy is to reject the instance then.
        ScoreError
            If a score is NaN or infinite.
        DeadlineError
            If it takes too long; at once where it is wide and would.
        InvalidInstancesError
            If it has more values than a request may have.
        """
        n_rows, n_features = len(instances.rows), len(model.plan.features)
        self._n_under_way += 1
        self._idle.clear()
        try:
            if self._wide.is_wide(n_rows, n_features):
                with self._wide.admit(n_rows, n_features):
                    deadline_sec = self._wide.deadline_sec(n_rows * n_features)
                    return await _finish_in_time(self._predict(model, instances), deadline_sec)
            is_batched = self._n_under_way > 1 and n_rows < model.session.inline_rows
            predict = self._batches.predict if is_batched else self._predict
            with self._wide.let_pass():
                return await self._deadlines.finish(predict(model, instances))
        finally:
            self._n_under_way -= 1
            if not self._n_under_way:
                self._idle.set()

    async def wait_until_idle(self) -> None:
        """Wait for a moment in which no prediction is under way."""
        await self._idle.wait()

    async def predict_aside(
        self, model: ActiveModel, instances: Instances, run: RunAside
    ) -> Prediction:
        """Score instances for which nobody waits, with the graph run by `run`; see `predict`."""
        return await self._predict(model, instances, run)

    async def score_matrices(
        self, model: ActiveModel, features: NDArray[np.float32], request: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Score rows of the graph's own inputs; nothing is looked up.

        Parameters
        ----------
        model
            The model, whose plan says how wide the inputs are.
        features
            float32 ``(n_rows, n_columns)``; NaN is a missing value.
        request
            float64 ``(n_rows, n_request_inputs)``; NaN is a missing value.

        Returns
        -------
        ndarray
            float64 ``(n_rows,)`` or ``(n_rows, n_classes)``, all of it finite.

        Raises
        ------
        ScoreError
            If a score is NaN or infinite.
        DeadlineError
            If it takes too long.
        """
        return await self._deadlines.finish(self._score(model, features, request))

    async def _predict(
        self, model: ActiveModel, instances: Instances, run: RunAside | None = None
    ) -> Prediction:
        now_us = self._clock.now_us()
        is_wide = self._wide.is_wide(len(instances.rows), len(model.plan.features))
        look_up = self._look_up_in_turns if is_wide else self._look_up
        times = [time.perf_counter()]
        try:
            features, stored, is_degraded = await look_up(model, instances, now_us)
            times.append(time.perf_counter())
            scores = await self._score(model, features.values, features.request, run)
        finally:
            if run is None:  # What nobody waits for is not timed with what somebody does.
                self._metrics.note_stages(("features", "model"), [*times, time.perf_counter()])
        if is_wide:  # What is left, its answer, is made at once.
            await self._wide.give_way()
        return Prediction(from_epoch_us(now_us), instances, features, stored, is_degraded, scores)

    async def _look_up(self, model: ActiveModel, instances: Instances, now_us: int) -> _LookedUp:
        """Return the graph's inputs, what was read for them, and whether the store is down."""
        stored, is_degraded = await self._read(model, instances)
        rows, overrides = instances.rows, instances.overrides
        if stored is None:
            return model.plan.assemble_defaults(rows, now_us, overrides), None, is_degraded
        stored = model.plan.at(stored, now_us)
        features = model.plan.assemble(rows, stored, now_us, overrides=overrides)
        return features, stored, is_degraded

    async def _look_up_in_turns(
        self, model: ActiveModel, instances: Instances, now_us: int
    ) -> _LookedUp:
        """Do the same piece by piece: each row by itself comes out as among all, to the bit."""
        n_rows, n_features = len(instances.rows), len(model.plan.features)
        matrix: FeatureMatrix | None = None
        found: list[StoredFeatures] = []
        for rows in self._wide.split(n_rows, n_features):
            n_cells = (rows.stop - rows.start) * n_features
            async with self._wide.take_turn(n_cells):
                some = Instances(instances.rows[rows], instances.overrides[rows])
                try:
                    part, stored, is_degraded = await self._look_up(model, some, now_us)
                except StaleFeatureError as error:
                    raise error.behind(rows.start) from error
                if stored is None:
                    # The store is down: the answer comes from defaults as a whole, and at once.
                    defaults = model.plan.assemble_defaults(
                        instances.rows, now_us, instances.overrides
                    )
                    return defaults, None, is_degraded
                if matrix is None:
                    matrix = FeatureMatrix.allocate(n_rows, part)
                matrix.put(rows, part)
                if n_rows * n_features <= MOST_TOLD:
                    found.append(stored)
                # To let go of many values at once would take as long as to read them.
                del stored
        assert matrix is not None
        return matrix, StoredFeatures.join(found) if found else None, False

    async def _read(
        self, model: ActiveModel, instances: Instances
    ) -> tuple[StoredFeatures | None, bool]:
        """Return what is stored, if anything was read, and whether the store is down."""
        plan = model.plan
        if not plan.features:
            return None, False
        try:
            stored = await self._reader.read(plan.layout, plan.serialize_keys(instances.rows))
        except OnlineStoreUnavailableError as error:
            self.n_reads["failed"] += 1
            self.is_store_up = False
            if plan.when_store_down == "fail":
                raise
            _log.warning("answered_from_defaults", model=model.name, reason=str(error))
            return None, True
        self.n_reads["ok"] += 1
        self.is_store_up = True
        return stored, False

    async def _score(
        self,
        model: ActiveModel,
        features: NDArray[np.float32],
        request: NDArray[np.float64],
        run: RunAside | None = None,
    ) -> NDArray[np.float64]:
        if run is None:
            scores = await self._run(model, features, request)
        else:
            scores = await run(model.session.run, features, request)
        if not np.isfinite(scores).all():
            raise ScoreError(f"Model {model.name} version {model.version} gave no finite score.")
        return scores

    async def _run(
        self, model: ActiveModel, features: NDArray[np.float32], request: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        if len(features) <= model.session.inline_rows:
            return model.session.run(features, request)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, model.session.run, features, request)


class Deadlines:
    """Ends work that takes too long; one timer watches over all of it.

    Parameters
    ----------
    timeout_sec
        How long any may take. A task does one at a time, all of them in one event loop.
    """

    def __init__(self, timeout_sec: float) -> None:
        self._timeout_sec = timeout_sec
        # In the order in which they end.
        self._ends_at: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()
        self._watch: asyncio.TimerHandle | None = None

    async def finish(self, work: Awaitable[_Answer]) -> _Answer:
        """Return what some work gives.

        Raises
        ------
        DeadlineError
            If it takes too long; it is cancelled then, as `asyncio.timeout` would.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        n_cancelled = task.cancelling()
        self._ends_at[task] = loop.time() + self._timeout_sec
        if self._watch is None:
            self._watch = loop.call_later(self._timeout_sec, self._end_overdue, loop)
        try:
            return await work
        except asyncio.CancelledError as error:
            if task in self._overdue and task.cancelling() - 1 <= n_cancelled:
                raise _too_late(self._timeout_sec) from error
            raise
        finally:
            del self._ends_at[task]
            if task in self._overdue:
                self._overdue.remove(task)
                task.uncancel()

    def _end_overdue(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watch = None
        now = loop.time()
        for task, ends_at in self._ends_at.items():
            if ends_at > now:
                self._watch = loop.call_at(ends_at, self._end_overdue, loop)
                return
            if task not in self._overdue:
                self._overdue.add(task)
                task.cancel()


async def _finish_in_time(work: Awaitable[_Answer], timeout_sec: float) -> _Answer:
    try:
        async with asyncio.timeout(timeout_sec):
            return await work
    except TimeoutError as error:
        raise _too_late(timeout_sec) from error


def _too_late(timeout_sec: float) -> DeadlineError:
    return DeadlineError(f"Got no answer within {timeout_sec:g} seconds, but expected one.")
