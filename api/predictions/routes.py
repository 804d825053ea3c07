"""Logged predictions: what was predicted from what, and whether it comes out the same again."""

from __future__ import annotations

import json
import re
from datetime import datetime
from http import HTTPStatus
from operator import itemgetter
from typing import Annotated, Any, NamedTuple

import numpy as np
from fastapi import APIRouter, Depends, Path
from pydantic import Field
from pydantic_core import to_json
from starlette.responses import Response

from api.access.route_access import needs
from api.http.application import part
from api.http.context import Context
from api.http.guarded_route import GuardedRoute
from api.http.problem import problems
from api.models.active_models import ActiveModels
from api.predictions.prediction_log import PREDICTION_ID, PredictionLog, unknown_prediction
from api.predictions.replay import ReplayedRow, replay_row
from zeroskew.contract.answer_model import AnswerModel
from zeroskew.contract.errors.not_found import UnknownPredictionError
from zeroskew.contract.errors.service import PredictionFailedError
from zeroskew.contract.feature_status import FeatureStatus
from zeroskew.contract.manifest import Scalar
from zeroskew.contract.scope import Scope
from zeroskew.contract.time.epoch import NEVER_US, from_epoch_us
from zeroskew.model.load_gate import ActiveModel
from zeroskew.records.blocking_calls import BlockingCalls
from zeroskew.records.prediction_log.logged_row import LoggedRow

__all__ = ["router"]

router = APIRouter(
    prefix="/v1/predictions",
    tags=["predictions"],
    route_class=GuardedRoute,
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
)

_Log = Annotated[PredictionLog, part(PredictionLog)]
_Calls = Annotated[BlockingCalls, part(BlockingCalls)]


class FoundPrediction(NamedTuple):
    """The rows of a prediction, and the versions that scored them."""

    rows: list[LoggedRow]
    models: dict[int, ActiveModel]


async def _find(
    id: Annotated[  # noqa: A002 - as the address has it
        str,
        Path(
            description="The `id` of an answer.",
            json_schema_extra={"pattern": f"^{PREDICTION_ID}$"},
        ),
    ],
    context: Context,
    log: _Log,
    calls: _Calls,
    models: Annotated[ActiveModels, part(ActiveModels)],
) -> FoundPrediction:
    if re.fullmatch(PREDICTION_ID, id) is None:
        raise UnknownPredictionError("Got an id that no prediction has, but expected a UUIDv7.")
    rows = await calls.run(log.read, id)
    if not context.caller.sees(rows[0].model):
        raise unknown_prediction(id)
    versions = sorted({row.version for row in rows})
    scored = {number: await models.for_answer(rows[0].model, number) for number in versions}
    return FoundPrediction(rows, scored)


Found = Annotated[FoundPrediction, Depends(_find)]


class StoredFeature(AnswerModel):
    """A feature that was looked up: what became of it, and its event time."""

    status: str
    event_time: datetime | None


class PredictedRow(AnswerModel):
    """One instance of a logged prediction, and the version that scored it.

    Where the prediction failed, what comes out of it is empty.
    """

    row: int
    version: int
    arm: str | None = Field(description="Of the rollout, where there was one.")
    error: str | None = Field(description="The code of the error where it failed.")
    entity_key: dict[str, Scalar | None]
    request: dict[str, Scalar | None] = Field(
        description="As it was parsed: a timestamp is seconds since the Unix epoch."
    )
    overrides: dict[str, Scalar | None] | None
    features: dict[str, float | str | None] = Field(
        description="The columns of the model's matrix by name; a missing value is null."
    )
    request_inputs: dict[str, float | str | None]
    stored: dict[str, StoredFeature] = Field(description="By `view:feature`.")
    output: list[float]


class LoggedPredictionDetail(AnswerModel):
    """What the log has of one answer."""

    id: str
    time: datetime
    logged_at: datetime
    model: str
    role: str
    answer_id: str | None
    degraded: bool
    latency_us: int
    request_id: str
    rows: list[PredictedRow]


class Replay(AnswerModel):
    """A logged prediction computed again, from the model file and the logged matrix alone."""

    id: str
    model: str
    model_sha256: dict[int, str] = Field(description="The model file of each version.")
    is_equal: bool = Field(description="Whether every score is equal to the bit.")
    rows: list[ReplayedRow]


@router.get("/{id:name}", summary="Show a logged prediction", response_model=LoggedPredictionDetail)
@needs(Scope.PREDICTIONS_READ)
async def get_prediction(found: Found) -> Response:
    """Show what was asked, what the model was given, where it came from, and what came out."""
    rows, models = found
    first = rows[0]
    detail = {
        name: getattr(first, name) for name in LoggedPredictionDetail.model_fields if name != "rows"
    }
    described = [one for row in rows for one in _describe(row, models[row.version])]
    detail["rows"] = sorted(described, key=itemgetter("row"))
    return Response(to_json(detail, inf_nan_mode="strings"), media_type="application/json")


@router.post(
    "/{id:name}:replay",
    summary="Compute a logged prediction again",
    response_model=Replay,
    responses=problems(HTTPStatus.CONFLICT),
)
@needs(Scope.PREDICTIONS_READ)
async def replay(found: Found, calls: _Calls) -> Response:
    """Run each version that answered on the logged matrix, and compare the scores to the bit."""
    rows, models = found
    replayed: list[ReplayedRow] = []
    for row in rows:
        if row.error is None and row.has_inputs:
            model = models[row.version]
            replayed += await calls.run(replay_row, model, row)
    if not replayed:
        reason = (
            "whose inputs the model's log leaves out; it cannot be computed again."
            if rows[0].error is None
            else f"that failed with {rows[0].error}; it has no scores to compare."
        )
        raise PredictionFailedError(f"Got a prediction {reason}")
    answer = Replay(
        id=rows[0].id,
        model=rows[0].model,
        model_sha256={number: model.manifest.model_file.sha256 for number, model in models.items()},
        is_equal=all(row.is_equal for row in replayed),
        rows=sorted(replayed, key=lambda row: row.row),
    )
    return Response(to_json(answer, inf_nan_mode="strings"), media_type="application/json")


def _describe(row: LoggedRow, model: ActiveModel) -> list[dict[str, Any]]:
    """Return the instances of a row of the log, with names."""
    plan = model.manifest.plan
    names = [field.name for field in model.manifest.request]
    keys = set(plan.list_key_fields())
    stored = plan.list_stored_features()
    columns = [column.name for column in plan.columns]
    inputs = [source.name for source in plan.request_inputs]
    requests = [dict(zip(names, values, strict=True)) for values in json.loads(row.request)]
    overrides = [None] * row.n_rows if row.overrides is None else json.loads(row.overrides)
    features = _by_row(row.features, "<f4", row)
    given = _by_row(row.request_inputs, "<f8", row)
    scores = _by_row(row.output, "<f8", row)
    statuses = _by_row(row.statuses, "u1", row)
    times = _by_row(row.event_times, "<i8", row)
    return [
        {
            "row": number,
            "version": row.version,
            "arm": row.arm,
            "error": row.error,
            "entity_key": {name: value for name, value in request.items() if name in keys},
            "request": request,
            "overrides": overrides[place] or None,
            "features": _name(columns, features[place]),
            "request_inputs": _name(inputs, given[place]),
            "stored": {
                f"{view}:{feature}": _describe_stored(status, at)
                for (view, feature), status, at in zip(
                    stored, statuses[place], times[place], strict=False
                )
            },
            "output": scores[place],
        }
        for place, (number, request) in enumerate(zip(row.list_numbers(), requests, strict=True))
    ]


def _by_row(content: bytes, dtype: str, row: LoggedRow) -> list[list[Any]]:
    values: list[list[Any]] = np.frombuffer(content, dtype).reshape(row.n_rows, -1).tolist()
    return values


def _describe_stored(status: int, at: int) -> dict[str, Any]:
    return {
        "status": FeatureStatus(status).name.lower(),
        "event_time": None if at == NEVER_US else from_epoch_us(at),
    }


def _name(names: list[str], values: list[Any]) -> dict[str, float | None]:
    return {
        name: None if value != value else value for name, value in zip(names, values, strict=False)
    }
