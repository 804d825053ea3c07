"""From a request's content to its answer: scored, logged and counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from api.http.context import RequestContext
from api.metrics.service_metrics import ServiceMetrics
from api.models.active_models import Answerers
from api.models.rollout_route import RolloutRoute
from api.predict.measured import count_features, count_prediction
from api.predict.prediction import Prediction
from api.predict.predictor import Predictor
from api.predict.question import Content, Question, check_told
from api.predict.shadow_runner import ShadowRunner
from api.predictions.logged_rows import FailedPrediction, PredictionRecord
from api.predictions.prediction_log import PredictionLog
from zeroskew.contract.errors.service import ServiceError
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.model.load_gate import ActiveModel
from zeroskew.model.requests.instances import Instances

__all__ = ["Answer", "AnswerPart", "Answering"]

_SAMPLE_SEC: Final = 0.1
_Value = TypeVar("_Value")


@dataclass(slots=True, eq=False)
class AnswerPart:
    """What one version answered: the rows of those numbers; ``()`` where it is the only part."""

    model: ActiveModel
    arm: str | None
    prediction: Prediction
    numbers: Sequence[int]

    def __len__(self) -> int:
        """Return how many rows it has."""
        return len(self.prediction.instances.rows)


@dataclass(slots=True, eq=False)
class Answer:
    """Predictions for the instances of a request, by one version or, in a rollout, by several."""

    id: str
    parts: Sequence[AnswerPart]

    @property
    def first(self) -> AnswerPart:
        """The part of the first version; nearly always there is no other."""
        return self.parts[0]

    @property
    def is_degraded(self) -> bool:
        """Whether defaults stand for a store that is down."""
        return any(part.prediction.is_degraded for part in self.parts)

    def merge(self, describe: Callable[[AnswerPart], Sequence[_Value]]) -> list[_Value]:
        """Return what each part has of its rows, in the order of the request."""
        if len(self.parts) == 1:
            return list(describe(self.first))
        values: dict[int, Any] = {}
        for part in self.parts:
            values.update(zip(part.numbers, describe(part), strict=True))
        return [values[number] for number in sorted(values)]


class Answering:
    """Answers requests, and keeps what was answered.

    Parameters
    ----------
    predictor
        Scores.
    log
        Keeps predictions, and those that failed.
    shadows
        Scores along, behind the answer.
    metrics
        Counts predictions, and times the stages.
    """

    def __init__(
        self,
        *,
        predictor: Predictor,
        log: PredictionLog,
        shadows: ShadowRunner,
        metrics: ServiceMetrics,
    ) -> None:
        self._metrics = metrics
        self._sampled_at = 0.0
        self._predictor = predictor
        self._log = log
        self._shadows = shadows

    async def answer(
        self,
        answerers: Answerers,
        content: Content,
        context: RequestContext,
        *,
        tells_features: bool = False,
    ) -> Answer:
        """Score a request, and log it; behind the answer its shadows score along.

        Parameters
        ----------
        answerers
            Who answers it.
        content
            Its body.
        context
            Whose it is, and its id.
        tells_features
            Whether the answer is to tell of every feature.

        Raises
        ------
        InvalidRequestError
            If an instance is not what the version that answers it takes.
        ServiceError
            What `Predictor.predict` and `PredictionLog.record` raise.
        """
        lead, route = answerers.models[0], answerers.route
        times = [time.perf_counter()]
        try:
            instances = content.to_instances(lead.schema)
            if tells_features:
                check_told(instances, lead)
            times.append(time.perf_counter())
            question = Question(content, context, tells_features, lead, instances, times[0])
            if route is None:
                part = await self._answer_part(question, lead, instances)
                return Answer(question.id, (part,))
            parts = await self._answer_by_arms(question, answerers.models, route)
        finally:
            self._metrics.note_stages(("parse",), [*times, time.perf_counter()])
        for shadow in route.shadows:
            self._shadows.offer(shadow, question)
        return Answer(question.id, parts)

    async def _answer_by_arms(
        self, question: Question, models: Sequence[ActiveModel], route: RolloutRoute
    ) -> Sequence[AnswerPart]:
        dealt = route.deal(question.instances.rows)
        if len(dealt) == 1:
            (number,) = dealt
            model, arm = models[number], route.arms[number][0]
            return [await self._answer_part(question, model, question.read_as(model), arm)]
        read = [question.read_as(models[number]) for number in dealt]
        # All of them come to their end: what one has scored is logged, whatever another does.
        done = await asyncio.gather(
            *[
                self._answer_part(
                    question, models[number], instances, route.arms[number][0], number, rows
                )
                for (number, rows), instances in zip(dealt.items(), read, strict=True)
            ],
            return_exceptions=True,
        )
        parts = []
        for part in done:
            if isinstance(part, BaseException):
                raise part
            parts.append(part)
        return parts

    async def _answer_part(
        self,
        question: Question,
        model: ActiveModel,
        instances: Instances,
        arm: str | None = None,
        part: int = 0,
        numbers: Sequence[int] | None = None,
    ) -> AnswerPart:
        def note(prediction: Prediction | FailedPrediction) -> PredictionRecord:
            return PredictionRecord(
                id=question.id,
                model=model,
                prediction=prediction,
                latency_us=int((time.perf_counter() - question.began) * 1e6),
                request_id=question.context.id,
                caller=question.context.caller.id,
                part=part,
                numbers=numbers,
                arm=arm,
            )

        if numbers is not None:
            instances = _take(instances, numbers)
        try:
            prediction = await self._predictor.predict(model, instances)
        except ServiceError as error:
            self._metrics.failures.add((model.name, error.code))
            failed = FailedPrediction(self._predictor.now(), instances, error.code)
            self._log.record_failure(note(failed))
            raise
        times = [time.perf_counter()]
        try:
            await self._log.record(note(prediction))
        finally:
            self._metrics.note_stages(("log",), [*times, time.perf_counter()])
        self._count(model, arm, prediction, question.began)
        return AnswerPart(model, arm, prediction, numbers or ())

    def _count(
        self, model: ActiveModel, arm: str | None, prediction: Prediction, began: float
    ) -> None:
        now = time.perf_counter()
        count_prediction(self._metrics, model, arm, prediction, now - began)
        # Finding out where every feature came from would cost more than the rest of this.
        was_read = model.plan.features and not prediction.is_degraded
        if was_read and now - self._sampled_at >= _SAMPLE_SEC:
            self._sampled_at = now
            now_us = to_epoch_us(prediction.as_of)
            count_features(self._metrics, model.plan, prediction.features, now_us)


def _take(instances: Instances, numbers: Sequence[int]) -> Instances:
    rows = [instances.rows[number] for number in numbers]
    overrides = instances.overrides
    return Instances(
        rows, [overrides[number] for number in numbers] if overrides else (), instances.is_columnar
    )
