"""The OpenAPI document: the generic routes, and each loaded model's own fields and example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.error_responses import PROBLEM_MEDIA_TYPE
from api.prediction.active_model import ActiveModel
from api.routers.predict import DEFAULT_ALIAS, PARAMETERS
from api.schemas import Problem

__all__ = ["build_openapi"]

_REF: Final = "#/components/schemas/{model}"
_PREDICT_PROBLEMS: Final = {
    "400": "The body is not JSON.",
    "404": "There is no such model, version or alias.",
    "413": "The body is too large.",
    "415": "The body is not declared as JSON in UTF-8.",
    "422": "The body is JSON, but not what this model takes; `errors` names the places.",
    "503": "The online store, the registry or the model cannot be used at the moment.",
}
_FEAST_PROBLEMS: Final = _PREDICT_PROBLEMS | {
    "404": "No catalog is published, or it has no such view, feature, service or push source.",
    "422": "The body is JSON, but does not fit the project; `errors` names the places.",
    "501": "The online store is of a kind that the service does not write.",
    "503": "The online store or the registry cannot be used at the moment.",
}
_READ_PROBLEMS: Final = {code: _PREDICT_PROBLEMS[code] for code in ("404", "503")}


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
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    types: list[type[BaseModel]] = [Problem]
    concrete: dict[str, Any] = {}
    for model in models:
        types += [model.schema.request_type, model.schema.response_type]
        for path, summary in _addresses(model, aliases):
            concrete[path] = {"post": _operation(model, path, summary)}
    _, definitions = models_json_schema([(kind, "validation") for kind in types], ref_template=_REF)
    document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    document["paths"] = concrete | document["paths"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _describe_problems(operation, path)
    return document


def _addresses(
    model: ActiveModel, aliases: dict[tuple[str, str], int]
) -> Iterator[tuple[str, str]]:
    root = f"/v1/models/{model.name}"
    for (name, alias), version in sorted(aliases.items()):
        if (name, version) != (model.name, model.version):
            continue
        if alias == DEFAULT_ALIAS:
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
        "description": model.manifest.description,
        "operationId": "".join(char if char.isalnum() else "_" for char in path.strip("/")),
        "parameters": PARAMETERS,
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
                        "schema": {"$ref": _REF.format(model=model.schema.response_type.__name__)}
                    }
                },
            }
        },
    }


def _describe_problems(operation: dict[str, Any], path: str) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    if path.endswith(":predict"):
        problems = _PREDICT_PROBLEMS
    elif path.startswith("/feast/") and "requestBody" in operation:
        problems = _FEAST_PROBLEMS
    elif path == "/livez":
        problems = {}
    else:
        problems = _READ_PROBLEMS
    for status, description in problems.items():
        responses[status] = {
            "description": description,
            "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}},
        }
