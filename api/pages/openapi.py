"""The OpenAPI document: the generic routes, and each loaded model's own fields and example."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi.openapi.utils import get_openapi

from api.access.route_access import SECURITY_SCHEME, list_routes
from api.http.application import Application
from api.http.guarded_route import GuardedRoute
from api.pages.openapi_predictions import (
    ANY_ANSWER,
    ANY_REQUEST,
    answer_content,
    request_content,
    request_examples,
)
from api.pages.openapi_problems import (
    describe_problem_responses,
    list_common_statuses,
    problem_reference,
)
from api.pages.openapi_types import add_types, settle_defaults
from api.v1.outputs import ONE_OUTPUT
from api.v1.predict import describe_parameters
from api.v2.examples import make_examples
from zeroskew.contract.rollout import CHAMPION
from zeroskew.contract.settings import Settings
from zeroskew.model.load_gate import ActiveModel

__all__ = ["build_openapi"]

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
    "events": "Raw events, for windows over them.",
    "feast": "Feast's own interface, for its remote client: features out, pushes in.",
    "health": "For whoever starts, stops and routes to the service.",
    "pages": "Where a person begins.",
}
_PREDICT: Final = "/v1/models/{model}:predict"
_INFER: Final = "/v2/models/{model}/infer"
_HAVE_ETAGS: Final = frozenset({"models", "pages"})
"""Tags of what is a document with a validator by its content."""
_SECURITY: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, `zsk_…`, or a token of the identity provider that the service is "
    "set up with. The scopes that an operation names are rights that it must have.",
}
_LOWEST: Final = 400
"""The lowest status of a refusal."""
_NOT_MODIFIED: Final = {"description": "It is what the `ETag` in `If-None-Match` stands for."}


def build_openapi(
    app: Application, models: Sequence[ActiveModel], aliases: dict[tuple[str, str], int]
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
        routes=[one.described for one in list_routes(app.routes) if isinstance(one, GuardedRoute)],
        tags=_describe_tags(models, aliases),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    generic = document["paths"]
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    add_types(schemas, models)
    for path, operations in generic.items():
        if path.endswith(":predict"):
            _fill_prediction(operations["post"], ANY_REQUEST, ANY_ANSWER, {})
    concrete = {
        path: {"post": _predict_operation(model, path, summary, generic[_PREDICT]["post"])}
        for model in models
        for path, summary in _addresses(model, aliases)
    }
    for model in models:
        if aliases.get((model.name, CHAMPION)) == model.version:
            path = f"/v2/models/{model.name}/infer"
            concrete[path] = {"post": _infer_operation(model, path, generic[_INFER]["post"])}
    components["responses"] = describe_problem_responses()
    asks_for_keys = app.parts[Settings].asks_for_keys
    if asks_for_keys:
        components["securitySchemes"] = {SECURITY_SCHEME: _SECURITY}
    document["paths"] = concrete | generic
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not asks_for_keys:
                operation.pop("security", None)
            _describe_refusals(operation, method, path, app)
    settle_defaults(document)
    return document


def _describe_tags(
    models: Sequence[ActiveModel], aliases: dict[tuple[str, str], int]
) -> list[dict[str, str]]:
    """Return a tag a model, described as its champion or else its newest, and the rest."""
    champions = [model for model in models if aliases.get((model.name, CHAMPION)) == model.version]
    described = {model.name: model.manifest.description for model in [*models, *champions]}
    return [{"name": name, "description": text} for name, text in (described | _TAGS).items()]


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


def _predict_operation(
    model: ActiveModel, path: str, summary: str, generic: dict[str, Any]
) -> dict[str, Any]:
    """Return the generic operation of a prediction as one model's own."""
    operation = _own(model, path, summary, generic)
    operation["description"] = model.manifest.description
    operation["parameters"] = describe_parameters(ONE_OUTPUT[model.manifest.output.kind])
    _fill_prediction(
        operation,
        model.schema.request_type.__name__,
        model.schema.response_type.__name__,
        request_examples(model.manifest),
    )
    operation["responses"]["200"]["description"] = model.manifest.output.description
    return operation


def _fill_prediction(
    operation: dict[str, Any], request: str, answer: str, examples: dict[str, Any]
) -> None:
    content = request_content(request, examples)
    operation["requestBody"] = {"required": True, "content": content}
    operation["responses"]["200"]["content"] = answer_content(answer)


def _infer_operation(model: ActiveModel, path: str, generic: dict[str, Any]) -> dict[str, Any]:
    """Return the generic operation of the Open Inference Protocol as one model's own."""
    operation = _own(model, path, f"Infer with {model.name}", generic)
    content = operation["requestBody"]["content"]["application/json"]
    content["examples"] = {
        f"{name} interface": {"value": example}
        for name, example in make_examples(model.manifest).items()
    }
    return operation


def _own(model: ActiveModel, path: str, summary: str, generic: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a generic operation for the address of one model."""
    operation = copy.deepcopy(generic)
    return operation | {
        "tags": [model.name],
        "summary": summary,
        "operationId": _operation_id(path),
        "parameters": [one for one in operation["parameters"] if one["in"] != "path"],
    }


def _operation_id(path: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in path.strip("/"))


def _describe_refusals(operation: dict[str, Any], method: str, path: str, app: Application) -> None:
    """Refer to the shared problems: what its route declares, and what is common to many."""
    responses = operation["responses"]
    common = list_common_statuses(operation, method, path, app.parts[Settings])
    declared = {HTTPStatus(int(status)) for status in responses if int(status) >= _LOWEST}
    responses.pop("422", None)
    for status in sorted(common | declared):
        # The Open Inference Protocol knows no 422.
        is_plain = path.startswith("/v2") and status is HTTPStatus.UNPROCESSABLE_ENTITY
        told = HTTPStatus.BAD_REQUEST if is_plain else status
        responses[str(int(told))] = problem_reference(told, path)
    if method == "get" and set(operation["tags"]) & _HAVE_ETAGS:
        responses["304"] = _NOT_MODIFIED
