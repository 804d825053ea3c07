"""The types in the OpenAPI document: whose they are, and what may be left out of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.feast.routes import FEAST_DOCUMENTS
from api.feedback.routes import FEEDBACK_DOCUMENTS
from api.http.problem import Problem
from api.pages.openapi_predictions import (
    ANY_ANSWER,
    ANY_REQUEST,
    add_answer_columns,
    add_request_columns,
    describe_any_request,
)
from api.registry.documents import DOCUMENTS
from api.v1.events import EVENT_DOCUMENTS
from api.v1.outputs import OneOutputResponse
from api.v2.documents import InferenceError, InferenceRequest
from api.v2.model_routes import INDEX_DOCUMENTS
from zeroskew.model.load_gate import ActiveModel
from zeroskew.model.requests.body_documents import SCHEMAS

__all__ = ["add_types", "settle_defaults"]

_OF_FASTAPI: Final = ("HTTPValidationError", "ValidationError")


def add_types(schemas: dict[str, Any], models: Sequence[ActiveModel]) -> None:
    """Add to the types of FastAPI's document those of what routes read, and of each model."""
    types: list[type[BaseModel]] = [
        Problem,
        InferenceRequest,
        InferenceError,
        *DOCUMENTS,
        *FEEDBACK_DOCUMENTS,
        *INDEX_DOCUMENTS,
        *FEAST_DOCUMENTS,
        *EVENT_DOCUMENTS,
    ]
    for model in models:
        types += [model.schema.request_type, model.schema.response_type]
    _, definitions = models_json_schema(
        [(kind, "validation") for kind in types], ref_template=f"{SCHEMAS}{{model}}"
    )
    schemas.update(definitions["$defs"])
    schemas.update(describe_any_request())
    for kind in (ANY_REQUEST, *(model.schema.request_type.__name__ for model in models)):
        add_request_columns(schemas, kind)
    answers = [model.schema.response_type.__name__ for model in models]
    for kind in (ANY_ANSWER, OneOutputResponse.__name__, *answers):
        add_answer_columns(schemas, kind)
    for unused in _OF_FASTAPI:
        schemas.pop(unused, None)


def settle_defaults(document: dict[str, Any]) -> None:
    """Tell of each member whether it may be left out, in the one way that all generators read.

    Some take a member with a default for one that is always there, others for one that may be
    left out. So what a request may leave out has its default in the description, and what an
    answer always has is required.
    """
    schemas = document["components"]["schemas"]
    sent = _list_sent_types(document)
    for name, schema in schemas.items():
        required = schema.setdefault("required", [])
        for member, described in schema.get("properties", {}).items():
            if "default" not in described or member in required:
                continue
            default = described.pop("default")
            if name not in sent:
                required += [] if default is None else [member]
            elif default not in (None, "", [], {}):
                told = f"{described.get('description', '')} `{json.dumps(default)}` if left out."
                described["description"] = told.strip()
        if not required:
            del schema["required"]


def _list_sent_types(document: dict[str, Any]) -> set[str]:
    """Return the names of the types that are part of a request's body."""
    schemas = document["components"]["schemas"]
    found: set[str] = set()
    waiting = [
        name
        for operations in document["paths"].values()
        for operation in operations.values()
        for name in _list_references(operation.get("requestBody"))
    ]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _list_references(schemas[name])
    return found


def _list_references(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _list_references(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(SCHEMAS)
            else:
                yield from _list_references(value)
