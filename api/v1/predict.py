"""Scores for instances, by model, by version, or by alias."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from itertools import chain
from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic_core import to_json
from starlette.responses import Response

from api.access.route_access import needs
from api.http.application import part_of
from api.http.context import REQUEST
from api.http.guarded_route import DirectRoute
from api.http.problem import problems
from api.http.request_body import JsonBody
from api.models.active_models import ActiveModels, Answerers
from api.models.addresses import (
    AliasName,
    ModelName,
    VersionNumber,
    check_alias,
    check_model,
    parse_version,
)
from api.models.registry_follower import RegistryFollower
from api.predict.answering import Answer, Answering, AnswerPart
from api.predict.feature_details import describe_features, list_overridden, warn_of_unknown_entities
from api.v1.outputs import ONE_OUTPUT, OneOutputResponse, check_one_output, describe_one_output
from zeroskew.contract.errors.service import OnlineStoreUnavailableError
from zeroskew.contract.scope import Scope
from zeroskew.model.requests.other_forms import to_outputs
from zeroskew.model.requests.responses import PredictionResponse
from zeroskew.model.requests.schemas import JsonContent

__all__ = ["describe_parameters", "router"]

_WITH_FEATURES: Final = {
    "name": "with_features",
    "in": "query",
    "description": "Whether the answer tells each instance's features with their value, "
    "status, age and view.",
    "schema": {"type": "boolean", "default": False},
}


def describe_parameters(outputs: Iterable[str]) -> list[dict[str, Any]]:
    """Return the query parameters of a predict operation, as OpenAPI has them.

    `outputs` are the names of the outputs that may be asked for alone.
    """
    return [_WITH_FEATURES, describe_one_output(outputs)]


_OUTPUTS: Final = dict.fromkeys(chain.from_iterable(ONE_OUTPUT.values()))
_ROUTE: Final[dict[str, Any]] = {
    "response_model": PredictionResponse | OneOutputResponse,
    "responses": problems(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.GONE,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
    "openapi_extra": {"parameters": describe_parameters(_OUTPUTS)},
}

router = APIRouter(prefix="/v1/models", tags=["predict"], route_class=DirectRoute)


@router.post(
    "/{model:name}:predict",
    summary="Score with the champion",
    **_ROUTE,
)
@needs(Scope.PREDICT)
async def predict(model: ModelName, request: Request) -> Response:
    """Score instances with the model's rollout, or else with the champion.

    In a rollout each instance is answered by the arm to which its entity key falls.
    """
    return await _answer(await part_of(request, ActiveModels).find(model), request)


@router.post(
    "/{model:name}/versions/{version:name}:predict",
    summary="Score with a version",
    **_ROUTE,
)
@needs(Scope.PREDICT)
async def predict_with_version(
    model: ModelName, version: VersionNumber, request: Request
) -> Response:
    """Score instances with one version, whatever the aliases point to."""
    models = part_of(request, ActiveModels)
    active = await models.by_version(check_model(model), parse_version(version))
    return await _answer(Answerers((active,)), request)


@router.post(
    "/{model:name}/labels/{alias:name}:predict",
    summary="Score with an alias",
    **_ROUTE,
)
@needs(Scope.PREDICT)
async def predict_with_alias(model: ModelName, alias: AliasName, request: Request) -> Response:
    """Score instances with the version that an alias points to."""
    models = part_of(request, ActiveModels)
    active = await models.by_alias(check_model(model), check_alias(alias))
    return await _answer(Answerers((active,)), request)


async def _answer(answerers: Answerers, request: Request) -> Response:
    body = JsonBody(request)
    with_features = body.flag("with_features")
    output = _read_output(request, answerers)
    answer = await part_of(request, Answering).answer(
        answerers,
        JsonContent(await body.read()),
        request.scope[REQUEST],
        tells_features=with_features,
    )
    document: dict[str, Any] = {"id": answer.id, "model": answer.first.model.name}
    document |= _tell_who(answer)
    document["as_of"] = answer.first.prediction.as_of
    predictions = answer.merge(_describe_scores)
    if output is not None:
        predictions = [prediction[output] for prediction in predictions]
    if not answer.first.prediction.instances.is_columnar:
        document["predictions"] = predictions
    else:
        document["outputs"] = predictions if output is not None else to_outputs(predictions)
    table = part_of(request, RegistryFollower).table
    versions = [part.model.version for part in answer.parts]
    headers = table.get_notices(answer.first.model.name, versions)
    if answer.is_degraded:
        document["degraded"] = headers["Zeroskew-Degraded"] = OnlineStoreUnavailableError.code
    if any(part.prediction.instances.overrides for part in answer.parts):
        document["overridden"] = answer.merge(lambda part: list_overridden(part.prediction))
    if with_features:
        document["features"] = answer.merge(
            lambda part: describe_features(part.model, part.prediction)
        )
        keys = answer.first.model.manifest.plan.list_key_fields()
        if warnings := warn_of_unknown_entities(document["features"], keys):
            document["warnings"] = warnings
    # An answer is of its model's `response_type`; JSON has no NaN, but a feature may be one.
    return Response(
        to_json(document, inf_nan_mode="strings"), media_type="application/json", headers=headers
    )


def _read_output(request: Request, answerers: Answerers) -> str | None:
    """Return the output that is wanted alone, which every version that may answer has."""
    if not request.scope["query_string"]:
        return None
    name = request.query_params.get("output")
    if name is not None:
        for model in answerers.models:
            check_one_output(name, model.manifest.output)
    return name


def _tell_who(answer: Answer) -> dict[str, Any]:
    """Return which version and arm answered; where there are several, for each instance."""
    first = answer.first
    if len(answer.parts) == 1:
        told: dict[str, Any] = {"version": first.model.version}
        return told if first.arm is None else told | {"arm": first.arm}
    return {
        "version": None,
        "served_by": answer.merge(
            lambda part: [{"arm": part.arm, "version": part.model.version}] * len(part)
        ),
    }


def _describe_scores(part: AnswerPart) -> list[Any]:
    prediction, output = part.prediction, part.model.manifest.output
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
