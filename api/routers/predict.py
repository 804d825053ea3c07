"""Scores for instances, by model, by version, or by alias."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic_core import to_json
from starlette.responses import Response

from api.contract.manifest import Output
from api.dependencies import JsonBody, Resources, resources_of
from api.direct_route import DirectRoute
from api.prediction.active_model import ActiveModel
from api.prediction.feature_details import describe_features, list_overridden
from api.prediction.prediction_id import make_prediction_id
from api.prediction.predictor import Prediction
from api.routers.addresses import (
    AliasName,
    ModelName,
    VersionNumber,
    check_alias,
    check_model,
    parse_version,
)
from api.schemas import PredictionResponse
from api.v1_requests import to_outputs

__all__ = ["DEFAULT_ALIAS", "PARAMETERS", "router"]

DEFAULT_ALIAS: Final = "champion"
"""What ``:predict`` without a version or an alias asks."""

PARAMETERS: Final = [
    {
        "name": "with_features",
        "in": "query",
        "description": "Whether the answer tells each instance's features with their value, "
        "status, age and view.",
        "schema": {"type": "boolean", "default": False},
    }
]
"""The query parameters of every predict operation, as OpenAPI has them."""

_BODY: Final = {
    "parameters": PARAMETERS,
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["instances"],
                    "additionalProperties": False,
                    "properties": {
                        "instances": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "object"},
                            "description": "Instances with the fields of that model.",
                        }
                    },
                }
            }
        },
    },
}

router = APIRouter(prefix="/v1/models", tags=["predict"], route_class=DirectRoute)


@router.post(
    "/{model:name}:predict",
    summary="Score with the champion",
    response_model=PredictionResponse,
    openapi_extra=_BODY,
)
async def predict(model: ModelName, request: Request) -> Response:
    """Score instances with the version that the alias `champion` points to."""
    resources = resources_of(request)
    active = await resources.models.by_alias(check_model(model), DEFAULT_ALIAS)
    return await _answer(active, request, resources)


@router.post(
    "/{model:name}/versions/{version:name}:predict",
    summary="Score with a version",
    response_model=PredictionResponse,
    openapi_extra=_BODY,
)
async def predict_with_version(
    model: ModelName, version: VersionNumber, request: Request
) -> Response:
    """Score instances with one version, whatever the aliases point to."""
    resources = resources_of(request)
    active = await resources.models.by_version(check_model(model), parse_version(version))
    return await _answer(active, request, resources)


@router.post(
    "/{model:name}/labels/{alias:name}:predict",
    summary="Score with an alias",
    response_model=PredictionResponse,
    openapi_extra=_BODY,
)
async def predict_with_alias(model: ModelName, alias: AliasName, request: Request) -> Response:
    """Score instances with the version that an alias points to."""
    resources = resources_of(request)
    active = await resources.models.by_alias(check_model(model), check_alias(alias))
    return await _answer(active, request, resources)


async def _answer(active: ActiveModel, request: Request, resources: Resources) -> Response:
    body = JsonBody(request, resources.settings)
    with_features = body.flag("with_features")
    instances = active.schema.parse(await body.read())
    prediction = await resources.predictor.predict(active, instances)
    predictions = _describe_scores(prediction, active.manifest.output)
    answer: dict[str, Any] = {
        "id": make_prediction_id(),
        "model": active.name,
        "version": active.version,
        "as_of": prediction.as_of,
    }
    if instances.is_columnar:
        answer["outputs"] = to_outputs(predictions)
    else:
        answer["predictions"] = predictions
    headers = dict(resources.models.notices(active))
    if prediction.is_degraded:
        answer["degraded"] = headers["Zeroskew-Degraded"] = "online_store_unavailable"
    if (overridden := list_overridden(prediction)) is not None:
        answer["overridden"] = overridden
    if with_features:
        answer["features"] = describe_features(active.plan, prediction)
    # An answer is of `active.schema.response_type`; JSON has no NaN, but a feature may be one.
    content = to_json(answer, inf_nan_mode="strings")
    return Response(content, media_type="application/json", headers=headers)


def _describe_scores(prediction: Prediction, output: Output) -> list[Any]:
    scores: list[Any] = prediction.scores.tolist()
    if output.kind == "value":
        return [{"value": score} for score in scores]
    if output.kind == "probability":
        assert output.threshold is not None
        return [{"probability": score, "label": score >= output.threshold} for score in scores]
    assert output.classes is not None
    likeliest = prediction.scores.argmax(axis=1)
    return [
        {
            "probabilities": dict(zip(output.classes, row, strict=True)),
            "label": output.classes[best],
        }
        for row, best in zip(scores, likeliest, strict=True)
    ]
