"""The Open Inference Protocol (V2), which clients of KServe, Triton and MLServer speak."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, NamedTuple

import numpy as np
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.access.route_access import anyone, needs, with_key
from api.health.readiness import Readiness
from api.http.application import part, part_of
from api.http.body_coding import compress
from api.http.context import context_of
from api.http.guarded_route import DirectRoute, GuardedRoute
from api.http.problem import problems
from api.http.request_body import BINARY, JsonBody
from api.models.active_models import ActiveModels, Answerers
from api.models.addresses import (
    Model,
    ModelName,
    Version,
    VersionNumber,
    check_model,
    parse_version,
)
from api.models.model_catalog import ModelCatalog
from api.models.registry_follower import RegistryFollower
from api.predict.answering import Answer, Answering, AnswerPart
from api.predict.prediction_id import make_prediction_id
from api.predict.predictor import Predictor
from api.v2.binary_tensors import HEADER_LENGTH
from api.v2.documents import (
    InferenceModelMetadata,
    InferenceRequest,
    InferenceResponse,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from api.v2.infer_request import InferRequest, read_infer_request
from api.v2.infer_response import OutputTensor, encode_response, label_scores, pass_scores
from api.v2.model_interface import PLATFORM, Interface, ModelInterface
from zeroskew.contract.errors.service import OnlineStoreUnavailableError
from zeroskew.contract.rollout import CHAMPION
from zeroskew.contract.scope import Scope
from zeroskew.contract.settings import Settings
from zeroskew.model.load_gate import ActiveModel
from zeroskew.model.requests.body_documents import SCHEMAS
from zeroskew.model.requests.field_types import InstanceLimits
from zeroskew.records.registry.registry_executor import RegistryExecutor

__all__ = ["infer_router", "router"]

_TAGS: Final = ["open inference"]
_SCHEMA: Final = {"$ref": f"{SCHEMAS}{InferenceRequest.__name__}"}
_BINARY_SCHEMA: Final = {"type": "string", "format": "binary"}
_BODY: Final = {
    "parameters": [
        {
            "name": HEADER_LENGTH,
            "in": "header",
            "description": "How many bytes of the body are JSON, where tensors follow it.",
            "schema": {"type": "integer", "minimum": 0},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _SCHEMA},
            BINARY: {"schema": _BINARY_SCHEMA},
        },
    },
}
_INFER: Final[dict[str, Any]] = {
    "response_model": InferenceResponse,
    "response_model_exclude_none": True,
    "responses": {
        HTTPStatus.OK: {"content": {BINARY: {"schema": _BINARY_SCHEMA}}},
        **problems(
            HTTPStatus.NOT_FOUND,
            HTTPStatus.GONE,
            HTTPStatus.INTERNAL_SERVER_ERROR,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
    "openapi_extra": _BODY,
}

_OF_CHAMPION: Final = problems(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)
_OF_VERSION: Final = problems(HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.SERVICE_UNAVAILABLE)
ChosenInterface = Annotated[
    Literal["entity", "tensor"],
    Query(
        alias="interface",
        description="`entity`: a tensor for each field of the request, whose features are looked "
        "up. `tensor`: the graph's own inputs.",
    ),
]
Models = Annotated[ActiveModels, part(ActiveModels)]
Ready = Annotated[Readiness, part(Readiness)]

router = APIRouter(prefix="/v2", tags=[*_TAGS], route_class=GuardedRoute)
infer_router = APIRouter(prefix="/v2/models", tags=[*_TAGS], route_class=DirectRoute)


@router.get("", summary="What server is this?")
@router.get("/", include_in_schema=False)
@anyone
async def get_server(request: Request) -> ServerMetadata:
    """Return the server's name and version, and the extensions of the protocol that it has."""
    return ServerMetadata(
        name="zeroskew",
        version=request.app.version,
        extensions=["binary_tensor_data", "model_configuration", "statistics"],
    )


@router.get("/health/live", summary="Is the server alive?")
@anyone
async def get_live() -> ServerLive:
    """Answer as long as the process can answer at all."""
    return ServerLive(live=True)


@router.get(
    "/health/ready",
    summary="Is the server ready?",
    responses=problems(HTTPStatus.SERVICE_UNAVAILABLE),
)
@anyone
async def get_ready(readiness: Ready) -> ServerReady:
    """Answer `true` when a model is loaded and the online store has every view it reads."""
    await readiness.require()
    return ServerReady(live=True, ready=True)


@router.get(
    "/models/{model:name}",
    summary="Show a model's tensors",
    responses=_OF_CHAMPION,
)
@with_key
async def get_model(
    model: Model, request: Request, models: Models, chosen: ChosenInterface = "entity"
) -> InferenceModelMetadata:
    """Return the inputs and outputs of the version that the alias `champion` points to."""
    return await _describe(await models.by_alias(model, CHAMPION), request, chosen)


@router.get(
    "/models/{model:name}/versions/{version:name}",
    summary="Show a version's tensors",
    responses=_OF_VERSION,
)
@with_key
async def get_version(
    model: Model,
    version: Version,
    request: Request,
    models: Models,
    chosen: ChosenInterface = "entity",
) -> InferenceModelMetadata:
    """Return the inputs and outputs of one version."""
    return await _describe(await models.by_version(model, version), request, chosen)


@router.get("/models/{model:name}/ready", summary="Is a model ready?", responses=_OF_CHAMPION)
@with_key
async def get_model_ready(model: Model, models: Models, readiness: Ready) -> ModelReady:
    """Answer `true` when the champion is loaded and the online store has the views it reads."""
    return await _require_model_ready(await models.by_alias(model, CHAMPION), readiness)


@router.get(
    "/models/{model:name}/versions/{version:name}/ready",
    summary="Is a version ready?",
    responses=_OF_VERSION,
)
@with_key
async def get_version_ready(
    model: Model, version: Version, models: Models, readiness: Ready
) -> ModelReady:
    """Answer `true` when the version is loaded and the online store has the views it reads."""
    return await _require_model_ready(await models.by_version(model, version), readiness)


@infer_router.post("/{model:name}/infer", summary="Infer with the champion", **_INFER)
@needs(Scope.PREDICT)
async def infer(model: ModelName, request: Request) -> Response:
    """Score tensors with the model's rollout, or else with the champion.

    The inputs are those of one interface of the model, which its metadata list: a tensor for
    each field of the request, whose features are then looked up, or the graph's own inputs.
    """
    return await _answer(await part_of(request, ActiveModels).find(model), request)


@infer_router.post(
    "/{model:name}/versions/{version:name}/infer", summary="Infer with a version", **_INFER
)
@needs(Scope.PREDICT)
async def infer_with_version(
    model: ModelName, version: VersionNumber, request: Request
) -> Response:
    """Score tensors with one version, whatever the aliases point to."""
    models = part_of(request, ActiveModels)
    active = await models.by_version(check_model(model), parse_version(version))
    return await _answer(Answerers((active,)), request)


async def _describe(active: ActiveModel, request: Request, chosen: str) -> InferenceModelMetadata:
    catalog = part_of(request, ModelCatalog)
    known = await part_of(request, RegistryExecutor).run(catalog.get_model, active.name)
    interface = ModelInterface(active.manifest)
    interface.require(Interface(chosen))
    return InferenceModelMetadata(
        name=active.name,
        versions=sorted((str(one.version) for one in known.versions), key=int),
        platform=PLATFORM,
        inputs=interface.list_inputs(Interface(chosen)),
        outputs=interface.list_outputs(Interface(chosen)),
    )


async def _require_model_ready(active: ActiveModel, readiness: Readiness) -> ModelReady:
    await readiness.require_store(active)
    return ModelReady(name=active.name, ready=True)


async def _answer(answerers: Answerers, request: Request) -> Response:
    settings = part_of(request, Settings)
    lead = answerers.lead
    asked = read_infer_request(
        await JsonBody(request, takes_binary=True).read(),
        request.headers.get(HEADER_LENGTH),
        ModelInterface(lead.manifest),
        InstanceLimits(settings.max_instances, settings.max_text_length),
    )
    asked.check_address(lead.name, None if answerers.route else lead.version)
    scored = await _score(answerers, asked, request)
    document: dict[str, Any] = {"model_name": lead.name}
    if len(scored.models) == 1:
        document["model_version"] = str(scored.models[0].version)
    document["id"] = asked.document.id or make_prediction_id()
    if scored.parameters:
        document["parameters"] = scored.parameters
    body, header_length = encode_response(document, scored.tensors, asked.outputs)
    table = part_of(request, RegistryFollower).table
    headers = table.get_notices(lead.name, [model.version for model in scored.models])
    if "degraded" in scored.parameters:
        headers["Zeroskew-Degraded"] = scored.parameters["degraded"]
    if header_length is not None:
        headers[HEADER_LENGTH] = str(header_length)
    body, coding = compress(body, ",".join(request.headers.getlist("accept-encoding")))
    if coding is not None:
        headers |= {"Content-Encoding": coding, "Vary": "Accept-Encoding"}
    media_type = "application/json" if header_length is None else BINARY
    return Response(body, media_type=media_type, headers=headers)


class _Scored(NamedTuple):
    """The outputs, the versions that gave them, and the parameters of the answer."""

    tensors: dict[str, OutputTensor]
    models: Sequence[ActiveModel]
    parameters: dict[str, str]


async def _score(answerers: Answerers, asked: InferRequest, request: Request) -> _Scored:
    lead = answerers.lead
    if asked.interface is Interface.TENSOR:
        # Without an entity there is nothing to deal by: the first arm answers.
        matrices = asked.to_matrices(lead.plan.n_request_inputs)
        scores = await part_of(request, Predictor).score_matrices(lead, *matrices)
        return _Scored(pass_scores(scores), (lead,), {})
    answer = await part_of(request, Answering).answer(answerers, asked, context_of(request.scope))
    first = answer.first
    parameters = {
        "prediction_id": answer.id,
        "as_of": first.prediction.as_of.isoformat().replace("+00:00", "Z"),
    }
    if first.arm is not None:
        parameters["arm"] = ",".join(answer.merge(lambda part: [part.arm or ""] * len(part)))
    if answer.is_degraded:
        parameters["degraded"] = OnlineStoreUnavailableError.code
    return _Scored(_label(answer), [part.model for part in answer.parts], parameters)


def _label(answer: Answer) -> dict[str, OutputTensor]:
    """Return the outputs of all rows, each labelled as the version that scored it does."""

    def label(part: AnswerPart) -> dict[str, OutputTensor]:
        return label_scores(part.prediction.scores, part.model.manifest.output)

    outputs = label(answer.first)
    if len(answer.parts) == 1:
        return outputs
    merged = {}
    for name, tensor in outputs.items():
        values: list[Any] = answer.merge(lambda part, name=name: list(label(part)[name].values))  # type: ignore[misc]
        is_text = isinstance(tensor.values, list)
        merged[name] = OutputTensor(tensor.datatype, values if is_text else np.array(values))
    return merged
