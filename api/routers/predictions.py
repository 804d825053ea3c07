"""Logged predictions: what was predicted from what, and whether it comes out the same again."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.responses import Response

from api.dependencies import Resources, ServiceResources
from api.errors import UnknownPredictionError
from api.prediction.active_model import ActiveModel
from api.prediction.feature_matrix import FeatureStatus
from api.prediction.online_features import NEVER_US
from api.prediction_log.logged_rows import LoggedRow
from api.prediction_log.replay import ReplayedRow, replay_rows

__all__ = ["router"]

router = APIRouter(prefix="/v1/predictions", tags=["predictions"])

_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
PredictionId = Annotated[
    str,
    Path(description="The `id` of an answer.", json_schema_extra={"pattern": f"^{_ID.pattern}$"}),
]


class StoredFeature(BaseModel):
    """A feature that was looked up: what became of it, and its event time."""

    status: str
    event_time: datetime | None


class PredictedRow(BaseModel):
    """One instance of a logged prediction."""

    row: int
    entity_key: dict[str, Any]
    request: dict[str, Any] = Field(
        description="As it was parsed: a timestamp is seconds since the Unix epoch."
    )
    overrides: dict[str, Any] | None
    features: dict[str, float | str | None] = Field(
        description="The columns of the model's matrix by name; a missing value is null."
    )
    request_inputs: dict[str, float | str | None]
    stored: dict[str, StoredFeature] = Field(description="By `view:feature`.")
    output: list[float]


class LoggedPredictionDetail(BaseModel):
    """What the log has of one answer."""

    id: str
    time: datetime
    logged_at: datetime
    model: str
    version: int
    arm: str | None
    role: str
    answer_id: str | None
    degraded: bool
    latency_us: int
    request_id: str
    rows: list[PredictedRow]


class Replay(BaseModel):
    """A logged prediction computed again, from the model file and the logged matrix alone."""

    id: str
    model: str
    version: int
    model_sha256: str
    is_equal: bool = Field(description="Whether every score is equal to the bit.")
    rows: list[ReplayedRow]


@router.get("/{id:name}", summary="Show a logged prediction", response_model=LoggedPredictionDetail)
async def get_prediction(id: PredictionId, resources: ServiceResources) -> Response:  # noqa: A002 - as the address has it
    """Show what was asked, what the model was given, where it came from, and what came out."""
    rows, model = await _find(id, resources)
    first = rows[0]
    detail = {
        name: getattr(first, name) for name in LoggedPredictionDetail.model_fields if name != "rows"
    }
    detail["rows"] = [_describe(row, model) for row in rows]
    return Response(to_json(detail, inf_nan_mode="strings"), media_type="application/json")


@router.post(
    "/{id:name}:replay", summary="Compute a logged prediction again", response_model=Replay
)
async def replay(id: PredictionId, resources: ServiceResources) -> Response:  # noqa: A002 - as above
    """Run the version that answered on the logged matrix, and compare the scores to the bit."""
    rows, model = await _find(id, resources)
    replayed = await resources.registry_executor.run(replay_rows, model, rows)
    answer = Replay(
        id=id,
        model=model.name,
        version=model.version,
        model_sha256=model.manifest.model_file.sha256,
        is_equal=all(row.is_equal for row in replayed),
        rows=replayed,
    )
    return Response(to_json(answer, inf_nan_mode="strings"), media_type="application/json")


async def _find(prediction_id: str, resources: Resources) -> tuple[list[LoggedRow], ActiveModel]:
    if _ID.fullmatch(prediction_id) is None:
        raise UnknownPredictionError("Got an id that no prediction has, but expected a UUIDv7.")
    rows = await resources.registry_executor.run(resources.prediction_log.read, prediction_id)
    return rows, await resources.models.for_replay(rows[0].model, rows[0].version)


def _describe(row: LoggedRow, model: ActiveModel) -> dict[str, Any]:
    plan = model.manifest.plan
    columns = [column.name for column in plan.columns]
    inputs = [source.name for source in plan.request_inputs]
    statuses = np.frombuffer(row.statuses, np.uint8).tolist()
    times = np.frombuffer(row.event_times, "<i8").tolist()
    return {
        "row": row.row,
        "entity_key": json.loads(row.entity_key),
        "request": json.loads(row.request),
        "overrides": None if row.overrides is None else json.loads(row.overrides),
        "features": _name(columns, np.frombuffer(row.features, "<f4")),
        "request_inputs": _name(inputs, np.frombuffer(row.request_inputs, "<f8")),
        "stored": {
            feature.reference: {
                "status": FeatureStatus(status).name.lower(),
                "event_time": None if at == NEVER_US else _EPOCH + timedelta(microseconds=at),
            }
            for feature, status, at in zip(model.plan.features, statuses, times, strict=True)
        },
        "output": np.frombuffer(row.output, "<f8").tolist(),
    }


def _name(names: list[str], values: Any) -> dict[str, float | None]:
    return {
        name: None if value != value else value
        for name, value in zip(names, values.tolist(), strict=True)
    }
