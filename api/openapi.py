"""The OpenAPI document: the generic routes, and each loaded model's own fields and example."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.access.route_access import SECURITY_SCHEME
from api.contract.scope import Scope
from api.open_inference.documents import InferenceError, InferenceRequest
from api.open_inference.examples import make_examples
from api.openapi_problems import (
    ACCESS_STATUSES,
    CHANGE_STATUSES,
    FEAST_STATUSES,
    FEEDBACK_STATUSES,
    PREDICT_STATUSES,
    READ_STATUSES,
    describe_problem_responses,
    problem_reference,
)
from api.prediction.active_model import ActiveModel
from api.prediction.registry_follower import CHAMPION
from api.routers.feedback import FEEDBACK_DOCUMENTS
from api.routers.predict import describe_parameters
from api.routers.registry import DOCUMENTS
from api.routers.v2_models import INDEX_DOCUMENTS
from api.schemas import Problem
from api.v1_documents import SIGNATURE
from api.v1_outputs import ONE_OUTPUT, OneOutputResponse

__all__ = ["build_openapi"]

_REF: Final = "#/components/schemas/{model}"
_TAGS: Final = {
    "predict": "Scores by any model, also by one that was published after this page was loaded.",
    "models": "Which models, versions and aliases there are, as TensorFlow Serving and KServe V1 "
    "tell it, and what the registry knows of them.",
    "predictions": "What was predicted, from what, and whether it comes out the same again.",
    "feedback": "What really happened, of what was predicted.",
    "registry": "Where aliases point, who answers a model's callers, how versions stand, and who "
    "changed it.",
    "open inference": "The Open Inference Protocol, which KServe's, Triton's and MLServer's "
    "clients speak.",
    "feast": "Feast's own interface, for its remote client: features out, pushes in.",
    "health": "For whoever starts, stops and routes to the service.",
    "pages": "Where a person begins.",
}
_CANNOT_FAIL: Final = ("/", "/livez", "/v2", "/v2/health/live")
_SIGNATURE_NAME: Final = {
    "type": "string",
    "enum": [SIGNATURE],
    "description": "TensorFlow Serving's name for what a request asks for; a model has just one.",
}
_NEVER_THE_SAME: Final = frozenset({"health", "registry", "predictions", "feedback"})
"""Tags of what is not a document with a validator by its content."""
_SECURITY: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, `zsk_…`, or a token of the identity provider that the service is "
    "set up with. The scopes that an operation names are rights that it must have.",
}
_UNPROCESSABLE: Final = HTTPStatus.UNPROCESSABLE_ENTITY
_NOT_MODIFIED: Final = {"description": "It is what the `ETag` in `If-None-Match` stands for."}


def build_openapi(
    app: FastAPI, models: Sequence[ActiveModel], aliases: dict[tuple[str, str], int]
) -> dict[str, Any]:
    """Return the OpenAPI document of the service with these models loaded.

    Parameters
    ----------
    app
        The application, for its generic routes.
    models
        The loaded models: each gets an operation of its own with its fields and example.
    aliases
        The version of each model and alias that is known.
    """
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=_describe_tags(models, aliases),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    concrete = {
        path: {"post": _operation(model, path, summary)}
        for model in models
        for path, summary in _addresses(model, aliases)
    }
    for model in models:
        if aliases.get((model.name, CHAMPION)) == model.version:
            path = f"/v2/models/{model.name}/infer"
            generic = document["paths"]["/v2/models/{model}/infer"]["post"]
            concrete[path] = {"post": _infer_operation(model, path, generic)}
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(_describe_types(models))
    components["responses"] = describe_problem_responses()
    asks_for_keys = app.state.settings.asks_for_keys
    if asks_for_keys:
        components["securitySchemes"] = {SECURITY_SCHEME: _SECURITY}
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    document["paths"] = concrete | document["paths"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not asks_for_keys:
                operation.pop("security", None)
            _describe_problems(operation, method, path)
    return document


def _describe_tags(
    models: Sequence[ActiveModel], aliases: dict[tuple[str, str], int]
) -> list[dict[str, str]]:
    """Return a tag a model, described as its champion or else its newest, and the rest."""
    champions = [model for model in models if aliases.get((model.name, CHAMPION)) == model.version]
    described = {model.name: model.manifest.description for model in [*models, *champions]}
    return [{"name": name, "description": text} for name, text in (described | _TAGS).items()]


def _describe_types(models: Sequence[ActiveModel]) -> dict[str, Any]:
    types: list[type[BaseModel]] = [
        Problem,
        InferenceRequest,
        InferenceError,
        *DOCUMENTS,
        *FEEDBACK_DOCUMENTS,
        *INDEX_DOCUMENTS,
    ]
    for model in models:
        types += [model.schema.request_type, model.schema.response_type]
    _, definitions = models_json_schema([(kind, "validation") for kind in types], ref_template=_REF)
    described: dict[str, Any] = definitions["$defs"]
    for model in models:
        request = described[model.schema.request_type.__name__]
        request["properties"]["signature_name"] = _SIGNATURE_NAME
    return described


def _addresses(
    model: ActiveModel, aliases: dict[tuple[str, str], int]
) -> Iterator[tuple[str, str]]:
    root = f"/v1/models/{model.name}"
    for (name, alias), version in sorted(aliases.items()):
        if (name, version) != (model.name, model.version):
            continue
        if alias == CHAMPION:
            yield f"{root}:predict", f"Score with {model.name}"
        else:
            yield f"{root}/labels/{alias}:predict", f"Score with {model.name}, {alias}"
    yield (
        f"{root}/versions/{model.version}:predict",
        f"Score with {model.name}, version {model.version}",
    )


def _operation(model: ActiveModel, path: str, summary: str) -> dict[str, Any]:
    return {
        "tags": [model.name],
        "summary": summary,
        "description": _describe_operation(model),
        "operationId": _operation_id(path),
        "security": [{SECURITY_SCHEME: [Scope.PREDICT.value]}],
        "parameters": describe_parameters(ONE_OUTPUT[model.manifest.output.kind]),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": _REF.format(model=model.schema.request_type.__name__)},
                    "example": model.schema.example,
                }
            },
        },
        "responses": {
            "200": {
                "description": model.manifest.output.description,
                "content": {
                    "application/json": {
                        "schema": {
                            "anyOf": [
                                {"$ref": _REF.format(model=answer.__name__)}
                                for answer in (model.schema.response_type, OneOutputResponse)
                            ]
                        }
                    }
                },
            }
        },
    }


def _infer_operation(model: ActiveModel, path: str, generic: dict[str, Any]) -> dict[str, Any]:
    """Return the generic operation of the Open Inference Protocol as one model's own."""
    operation = copy.deepcopy(generic)
    content = operation["requestBody"]["content"]["application/json"]
    content["examples"] = {
        f"{name} interface": {"value": example}
        for name, example in make_examples(model.manifest).items()
    }
    return operation | {
        "tags": [model.name],
        "summary": f"Infer with {model.name}",
        "operationId": _operation_id(path),
        "parameters": [one for one in operation["parameters"] if one["in"] != "path"],
    }


def _operation_id(path: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in path.strip("/"))


def _describe_operation(model: ActiveModel) -> str:
    # Columns have no schema of their own: JSON Schema cannot say that they are equally long.
    columns = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps([value])}"
        for name, value in model.manifest.example.items()
    )
    return (
        f"{model.manifest.description}\n\n"
        "The same instances may come as columns, and are answered as columns, in `outputs`:\n\n"
        f'```json\n{{"inputs": {{\n{columns}\n}}}}\n```'
    )


def _describe_problems(operation: dict[str, Any], method: str, path: str) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    statuses = _list_problems(operation, method, path)
    if operation.get("security"):
        statuses = [*statuses, *ACCESS_STATUSES]
    for status in statuses:
        # The body of the Open Inference Protocol is refused with 400, whatever is wrong in it.
        if path.startswith("/v2") and status is HTTPStatus.UNPROCESSABLE_ENTITY:
            continue
        responses[str(int(status))] = problem_reference(status, path)
    if method == "get" and not set(operation["tags"]) & _NEVER_THE_SAME:
        responses["304"] = _NOT_MODIFIED


def _list_problems(operation: dict[str, Any], method: str, path: str) -> Sequence[HTTPStatus]:
    """Return the statuses with which an operation may fail, whoever asks."""
    if path.endswith((":predict", "/infer")):
        return PREDICT_STATUSES
    if path.startswith("/feast/") and "requestBody" in operation:
        return FEAST_STATUSES
    if "registry" in operation["tags"]:
        return CHANGE_STATUSES if method != "get" else (*READ_STATUSES, _UNPROCESSABLE)
    if path == "/v2/repository/index":
        return FEEDBACK_STATUSES
    if path.startswith("/v2/") and any(
        one["in"] == "query" for one in operation.get("parameters", ())
    ):
        return (*READ_STATUSES, HTTPStatus.BAD_REQUEST)
    if path == "/v1/feedback":
        return FEEDBACK_STATUSES if method == "post" else (*READ_STATUSES, _UNPROCESSABLE)
    return (HTTPStatus.METHOD_NOT_ALLOWED,) if path in _CANNOT_FAIL else READ_STATUSES
