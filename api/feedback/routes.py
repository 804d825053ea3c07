"""Labels: what really happened, of what was predicted."""

from __future__ import annotations

import re
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.responses import Response

from api.access.route_access import needs
from api.feedback.feedback import Feedback, GivenLabel, LabelOutcome
from api.http.application import part
from api.http.context import Context
from api.http.guarded_route import GuardedRoute
from api.http.problem import problems
from api.http.request_body import document_body
from api.metrics.service_metrics import ServiceMetrics
from api.predictions.prediction_log import PREDICTION_ID
from zeroskew.contract.answer_model import AnswerModel
from zeroskew.contract.errors.service import InvalidRequestError
from zeroskew.contract.scope import Scope
from zeroskew.model.requests.body_documents import RequestDocument
from zeroskew.records.blocking_calls import BlockingCalls

__all__ = ["FEEDBACK_DOCUMENTS", "router"]

_MAX_LABELS: Final = 1000
_EXAMPLE: Final = {
    "labels": [
        {
            "prediction_id": "01a5eb5d-7c00-7000-8000-000000000001",
            "value": 12.5,
            "observed_at": "2013-10-01T11:00:00Z",
        }
    ]
}


class FeedbackRequest(RequestDocument):
    """Labels that are kept together or not at all."""

    labels: list[GivenLabel] = Field(min_length=1, max_length=_MAX_LABELS)


class FeedbackResponse(AnswerModel):
    """What became of each label, in their order."""

    labels: list[LabelOutcome]


class LabelDetail(AnswerModel):
    """A label as it came."""

    idempotency_key: str
    row: int
    value: bool | float | str
    observed_at: datetime
    received_at: datetime


class LabelHistory(AnswerModel):
    """The labels about a prediction, as they came; of a row the one observed last is in force."""

    labels: list[LabelDetail]


FEEDBACK_DOCUMENTS: Final = (FeedbackRequest,)
"""The bodies that the routes here take."""


async def _read_id(
    prediction_id: Annotated[
        str,
        Query(
            description="The `id` of an answer.",
            json_schema_extra={"pattern": f"^{PREDICTION_ID}$"},
        ),
    ],
) -> str:
    if re.fullmatch(PREDICTION_ID, prediction_id) is None:
        raise InvalidRequestError(
            f"Got prediction_id={prediction_id[:36]!r} in the query, but expected an answer's id."
        )
    return prediction_id


AnswerId = Annotated[str, Depends(_read_id)]
Labels = Annotated[Feedback, part(Feedback)]

router = APIRouter(
    prefix="/v1/feedback",
    tags=["feedback"],
    route_class=GuardedRoute,
    responses=problems(HTTPStatus.SERVICE_UNAVAILABLE),
)


@router.post(
    "",
    summary="Say what really happened",
    response_model=FeedbackResponse,
    responses=problems(HTTPStatus.CONFLICT),
)
@needs(Scope.FEEDBACK)
async def give_feedback(
    given: Annotated[FeedbackRequest, document_body(FeedbackRequest, example=_EXAMPLE)],
    context: Context,
    feedback: Labels,
    metrics: Annotated[ServiceMetrics, part(ServiceMetrics)],
) -> Response:
    """Keep labels; they are on disk when this answers, and the same again changes nothing."""
    kept = await feedback.take(given.labels, context.id, context.caller)
    metrics.labels.add((), len(kept))
    answer = FeedbackResponse(labels=kept)
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get("", summary="Show a prediction's labels", response_model=LabelHistory)
@needs(Scope.FEEDBACK)
async def list_feedback(
    prediction_id: AnswerId,
    context: Context,
    feedback: Labels,
    calls: Annotated[BlockingCalls, part(BlockingCalls)],
) -> Response:
    """Show the labels about a prediction, corrections and what they correct."""
    rows = await calls.run(feedback.read, prediction_id)
    caller = context.caller
    seen = [row for row in rows if caller.tenant is None or (row.model and caller.sees(row.model))]
    labels = [LabelDetail.model_validate(row, from_attributes=True) for row in seen]
    content = LabelHistory(labels=labels).model_dump_json()
    return Response(content, media_type="application/json")
