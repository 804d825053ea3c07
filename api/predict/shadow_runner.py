"""Scores along with versions that never answer, when nobody waits for an answer."""

from __future__ import annotations

import asyncio
import contextvars
import time
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog

from api.log_config import REQUEST_ID
from api.models.active_models import ActiveModels
from api.models.rollout_route import RoutedShadow
from api.predict.nice_thread import NiceThread
from api.predict.prediction import Prediction
from api.predict.prediction_id import make_prediction_id
from api.predict.predictor import Predictor
from api.predict.question import Question
from api.predictions.logged_rows import FailedPrediction, PredictionRecord
from api.predictions.prediction_log import PredictionLog, is_sampled
from zeroskew.contract.errors.service import ServiceError

__all__ = ["ShadowCounters", "ShadowRunner"]

_Key: TypeAlias = tuple[str, int]

_MAX_WAITING: Final = 32
"""Answers that wait for a shadow. Under load there is no quiet moment, and this is soon full."""

_IDLE_SEC: Final = 60.0
_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True)
class ShadowCounters:
    """Answers with a shadow since the start of the process, by what became of the shadow."""

    scored: int = 0
    failed: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class _Offer:
    shadow: RoutedShadow
    question: Question


@dataclass(slots=True)
class _Lane:
    """What waits for one version, and the thread on which that scores."""

    waiting: asyncio.Queue[_Offer]
    thread: NiceThread
    task: asyncio.Task[None] | None = None


class ShadowRunner:
    """Gives each shadow version a bounded queue and a thread of the lowest priority.

    A shadow begins when no answer is under way. One that is slow or hangs fills its own queue,
    and what does not fit there is dropped and counted.

    Parameters
    ----------
    models
        Load the versions.
    predictor
        Looks features up, and knows when nothing is under way.
    log
        Keeps what shadows say.
    max_share
        Which share of the time each may take.
    """

    def __init__(
        self, *, models: ActiveModels, predictor: Predictor, log: PredictionLog, max_share: float
    ) -> None:
        self._models = models
        self._predictor = predictor
        self._log = log
        self._max_share = max_share
        self._lanes: dict[_Key, _Lane] = {}
        self.counters = ShadowCounters()

    def offer(self, shadow: RoutedShadow, question: Question) -> None:
        """Take what was answered for a shadow, if it is of its share and there is room."""
        if not is_sampled(question.id, shadow.share):
            return
        key = (question.lead.name, shadow.version)
        try:
            lane = self._find_lane(key)
            lane.waiting.put_nowait(_Offer(shadow, question))
        except (asyncio.QueueFull, RuntimeError):  # No room, or no thread to be had.
            self.counters.dropped += 1

    def close(self) -> None:
        """Drop what waits, and end."""
        for key in list(self._lanes):
            self._close_lane(key)

    def _find_lane(self, key: _Key) -> _Lane:
        lane = self._lanes.get(key)
        if lane is not None and lane.task is not None and lane.task.done():
            # Whatever ended it: what waits there would wait for ever.
            self.counters.dropped += lane.waiting.qsize()
            self._close_lane(key)
            lane = None
        return lane or self._open_lane(key)

    def _open_lane(self, key: _Key) -> _Lane:
        lane = _Lane(asyncio.Queue(_MAX_WAITING), NiceThread(f"shadow-{key[0]}-{key[1]}"))
        self._lanes[key] = lane
        # In a context of its own: what it says is not about the request that came first.
        lane.task = asyncio.get_running_loop().create_task(
            self._work(key, lane), context=contextvars.Context()
        )
        return lane

    def _close_lane(self, key: _Key) -> None:
        lane = self._lanes.pop(key)
        lane.thread.stop()
        if lane.task is not None:
            lane.task.cancel()

    async def _work(self, key: _Key, lane: _Lane) -> None:
        while True:
            try:
                async with asyncio.timeout(_IDLE_SEC):
                    offer = await lane.waiting.get()
            except TimeoutError:
                # Between this look and the end nobody else runs.
                if lane.waiting.empty():
                    self._close_lane(key)
                    return
                continue
            REQUEST_ID.set(offer.question.context.id)
            await self._predictor.wait_until_idle()
            began = time.monotonic()
            try:
                await self._score(key, offer, lane.thread)
            except Exception:  # A shadow's fault stays its own.
                self.counters.failed += 1
                _log.exception("shadow_failed", model=key[0], version=key[1])
            await asyncio.sleep((time.monotonic() - began) * (1 / self._max_share - 1))

    async def _score(self, key: _Key, offer: _Offer, thread: NiceThread) -> None:
        model = await self._models.by_version(*key)
        question = offer.question
        instances = question.read_as(model)
        began = time.perf_counter()

        def note(prediction: Prediction | FailedPrediction) -> PredictionRecord:
            return PredictionRecord(
                id=make_prediction_id(),
                model=model,
                prediction=prediction,
                latency_us=int((time.perf_counter() - began) * 1e6),
                request_id=question.context.id,
                caller=question.context.caller.id,
                arm=offer.shadow.name,
                role="shadow",
                answer_id=question.id,
            )

        try:
            prediction = await self._predictor.predict_aside(model, instances, thread.run)
        except ServiceError as error:
            self.counters.failed += 1
            failed = FailedPrediction(self._predictor.now(), instances, error.code)
            self._log.record_failure(note(failed))
            return
        self.counters.scored += 1
        await self._log.record(note(prediction))
