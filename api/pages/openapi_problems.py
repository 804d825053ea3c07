"""How the OpenAPI document tells what can go wrong: one shared response a status."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from api.http.error_responses import PROBLEM_MEDIA_TYPE, list_codes
from api.http.gate import ALWAYS_ANSWERED
from zeroskew.contract.settings import Settings
from zeroskew.model.requests.body_documents import SCHEMAS

__all__ = ["describe_problem_responses", "list_common_statuses", "problem_reference"]


class _Case(NamedTuple):
    """A status, when it comes, and one of its problems as an example."""

    status: HTTPStatus
    description: str
    code: str
    detail: str
    errors: tuple[dict[str, str], ...] = ()


_INFERENCE: Final = "INFERENCE_"
_REFUSED_PLACE: Final = {
    "pointer": "/instances/0/country",
    "got": "1",
    "expected": "a string",
    "message": "Got 1 at /instances/0/country, but expected a string.",
}
_CASES: Final = (
    _Case(
        HTTPStatus.BAD_REQUEST,
        "The body is not JSON; under `/v2`, the request is none that can be answered.",
        "malformed_json",
        "Got a body that stops being JSON in UTF-8 at line 1, column 16.",
    ),
    _Case(
        HTTPStatus.UNAUTHORIZED,
        "The service asks for keys, and the request has none that is valid.",
        "unauthenticated",
        "Got no key, but expected one in the header Authorization, as `Bearer zsk_…`.",
    ),
    _Case(
        HTTPStatus.FORBIDDEN,
        "The key does not let its bearer do that, or the service lets nobody; a page of another "
        "origin asks for a change; or the service is not called by that host.",
        "forbidden",
        "Got a key without the scope predict, but expected one with it.",
    ),
    _Case(
        HTTPStatus.NOT_FOUND,
        "What the request names does not exist.",
        "unknown_version",
        "Got version 7, but model 'will_return' has no such version.",
    ),
    _Case(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "The address has other methods; the detail and the header `Allow` name them.",
        "method_not_allowed",
        "Got DELETE, but expected one of OPTIONS, POST at this address.",
    ),
    _Case(
        HTTPStatus.REQUEST_TIMEOUT,
        "The body did not arrive in time.",
        "body_timeout",
        "Got a body that took longer than 5.0 seconds to arrive.",
    ),
    _Case(
        HTTPStatus.CONFLICT,
        "What is there already does not allow it.",
        "registry_conflict",
        "Got version 2, to which champion points, but expected one without an alias.",
    ),
    _Case(
        HTTPStatus.GONE,
        "The version is retired.",
        "version_retired",
        "Got version 1 of model 'will_return', which is retired.",
    ),
    _Case(
        HTTPStatus.PRECONDITION_FAILED,
        "What was to be changed has changed since the caller saw it.",
        "revision_conflict",
        "Got a change to alias 'champion', which is at revision 12, but expected revision 9.",
    ),
    _Case(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "The body is too large.",
        "body_too_large",
        "Got a body of more than 1048576 bytes, but expected at most that.",
    ),
    _Case(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "The body is not declared as JSON in UTF-8.",
        "unsupported_media_type",
        "Got a body of type text/plain in utf-8, but expected application/json in utf-8.",
    ),
    _Case(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The body is JSON, but not what is taken here, and `errors` names the places; or the query "
        "has a parameter that is not known here.",
        "invalid_instances",
        _REFUSED_PLACE["message"],
        (_REFUSED_PLACE,),
    ),
    _Case(
        HTTPStatus.TOO_MANY_REQUESTS,
        "The service has more requests than it can answer in time, or the key has made more than "
        "it may; `Retry-After` says when to come again.",
        "too_many_requests",
        "The service is answering as many requests as it can.",
    ),
    _Case(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The service failed; its log says more under the request id.",
        "non_finite_score",
        "The model gave a score that is not a finite number.",
    ),
    _Case(
        HTTPStatus.NOT_IMPLEMENTED,
        "The online store is of a kind that the service does not write.",
        "not_supported",
        "The service writes Redis and SQLite, and this store is neither.",
    ),
    _Case(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "What the answer needs cannot be used at the moment, or not within the time that there is.",
        "online_store_unavailable",
        "The online store cannot be read.",
    ),
)
_OF_BODIES: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    }
)


def list_common_statuses(
    operation: Mapping[str, Any], method: str, path: str, settings: Settings
) -> set[HTTPStatus]:
    """Return the statuses with which an operation may refuse beside those that its route declares.

    They come from what stands before every route: the guard of sites, keys and limits, the gate,
    and the reader of bodies.
    """
    # A query that is not known; a method that is not.
    found = {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.METHOD_NOT_ALLOWED}
    if method != "get" or not settings.answers_any_host:
        found.add(HTTPStatus.FORBIDDEN)  # Another site's page; a host that is not ours.
    if settings.asks_for_keys:
        found.add(HTTPStatus.UNAUTHORIZED)
    if operation.get("security"):
        found |= {
            HTTPStatus.FORBIDDEN,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        }
    if "requestBody" in operation:
        found |= _OF_BODIES
    if not path.startswith(ALWAYS_ANSWERED):
        found.add(HTTPStatus.TOO_MANY_REQUESTS)
    return found


def describe_problem_responses() -> dict[str, Any]:
    """Return the document's ``components/responses``, by the name of their status."""
    native = {
        case.status.name: _response(case, PROBLEM_MEDIA_TYPE, "Problem", _example(case))
        for case in _CASES
    }
    inference = {
        _INFERENCE + case.status.name: _response(
            case, "application/json", "InferenceError", {"error": case.detail}
        )
        for case in _CASES
    }
    return native | inference


def problem_reference(status: HTTPStatus, path: str) -> dict[str, str]:
    """Return the reference to a status, for an address, among ``components/responses``."""
    prefix = _INFERENCE if path.startswith("/v2") else ""
    return {"$ref": f"#/components/responses/{prefix}{status.name}"}


def _response(case: _Case, media_type: str, schema: str, example: dict[str, Any]) -> dict[str, Any]:
    content = {"schema": {"$ref": f"{SCHEMAS}{schema}"}, "example": example}
    kinds = [media_type]
    if media_type == PROBLEM_MEDIA_TYPE:
        kinds.append("application/json")  # Of a prediction, for who does not ask for problems.
    return {"description": _describe(case), "content": dict.fromkeys(kinds, content)}


def _describe(case: _Case) -> str:
    codes = ", ".join(f"`{code}`" for code in list_codes(case.status))
    return f"{case.description} The `code` is one of {codes}."


def _example(case: _Case) -> dict[str, Any]:
    problem: dict[str, Any] = {
        "type": f"urn:zeroskew:problem:{case.code}",
        "title": case.status.phrase,
        "status": int(case.status),
        "detail": case.detail,
        "error": case.detail,
        "code": case.code,
        "request_id": "4f0c1c7e5b0a4d3c9e2f6a8b7d1e0c9f",
    }
    return problem | ({"errors": list(case.errors)} if case.errors else {})
