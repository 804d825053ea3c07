"""The one place where errors become HTTP answers.

Problem details after RFC 9457, but for the addresses of a protocol that has its own bodies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from api.feast.feast_errors import feast_error_response, is_feast_client
from api.http.context import context_of
from api.http.methods import allowed_methods
from api.http.problem import FieldProblem, Problem
from zeroskew.contract.errors import access as access_errors
from zeroskew.contract.errors import not_found
from zeroskew.contract.errors import service as errors
from zeroskew.contract.errors.fields import refuse_parameter

__all__ = [
    "PROBLEM_MEDIA_TYPE",
    "answer_crash",
    "answer_service_error",
    "install_error_responses",
    "list_codes",
    "refusal_response",
]

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

_STATUS: Final[dict[type[errors.ServiceError], HTTPStatus]] = {
    errors.MalformedJsonError: HTTPStatus.BAD_REQUEST,
    errors.InvalidTensorsError: HTTPStatus.BAD_REQUEST,
    errors.BodyTimeoutError: HTTPStatus.REQUEST_TIMEOUT,
    errors.BodyTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.OverloadedError: HTTPStatus.TOO_MANY_REQUESTS,
    errors.UnsupportedMediaTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.InvalidRequestError: HTTPStatus.UNPROCESSABLE_ENTITY,
    not_found.VersionRetiredError: HTTPStatus.GONE,
    not_found.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.ChangesForbiddenError: HTTPStatus.FORBIDDEN,
    access_errors.UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    access_errors.RateLimitedError: HTTPStatus.TOO_MANY_REQUESTS,
    access_errors.AccessError: HTTPStatus.FORBIDDEN,
    errors.RevisionConflictError: HTTPStatus.PRECONDITION_FAILED,
    errors.RegistryConflictError: HTTPStatus.CONFLICT,
    errors.LabelConflictError: HTTPStatus.CONFLICT,
    errors.PredictionFailedError: HTTPStatus.CONFLICT,
    errors.NotSupportedError: HTTPStatus.NOT_IMPLEMENTED,
    errors.UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ServiceError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
# The rest of a body that came too slowly may still come, for as long as the client likes.
_HEADERS: Final = {
    errors.BodyTimeoutError.code: {"Connection": "close"},
    errors.OverloadedError.code: {"Retry-After": "1"},
    errors.DeadlineError.code: {"Retry-After": "1"},
    errors.FeedbackUnavailableError.code: {"Retry-After": "1"},
    errors.LogUnavailableError.code: {"Retry-After": "1"},
    errors.PushUnavailableError.code: {"Retry-After": "1"},
    access_errors.LimitsUnavailableError.code: {"Retry-After": "1"},
}
_HTTP_CODES: Final = {404: "unknown_route", 405: "method_not_allowed"}
_UNEXPECTED: Final = "The service failed; its log says more under this request id."
_HIDDEN_DETAIL: Final = {
    errors.ModelRefusedError.code: "This model version did not pass the checks before loading; "
    "the log says more under this request id.",
    errors.ScoreError.code: "The model gave a score that is not a finite number.",
}
_V1_OF_KSERVE: Final = re.compile(r"/v1/models(/[^/:]+(:explain)?)?|/v1/models/.+:predict")
_log: Final = structlog.get_logger(__name__)


def _error_response(
    request: Request,
    *,
    status: int,
    code: str,
    detail: str,
    fields: tuple[errors.FieldError, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """Return the answer to a request that failed, in the style of its address.

    KServe's client for V1 reads `error` only where the type is ``application/json``, so that is
    the type at the addresses that it asks unless problem details are asked for by name. It asks
    ``:explain`` too, which the service does not have.
    """
    path = request.scope["path"]
    problem = _make_problem(status, code, detail, context_of(request.scope).id, fields)
    if is_feast_client(path, request.headers.get("user-agent", "")):
        return feast_error_response(problem.model_dump(mode="json", exclude_defaults=True), headers)
    for prefix, render in _STYLES.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            return render(problem, headers)
    accept = request.headers.get("accept", "")
    if _V1_OF_KSERVE.fullmatch(path) and PROBLEM_MEDIA_TYPE not in accept:
        return _render_json(problem, headers)
    return _render_problem(problem, headers)


def _render_problem(problem: Problem, headers: dict[str, str] | None) -> Response:
    """Return problem details as ``application/problem+json``."""
    return Response(
        problem.model_dump_json(exclude_defaults=True),
        status_code=problem.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


def _render_json(problem: Problem, headers: dict[str, str] | None) -> Response:
    """Return the same as ``application/json``."""
    answer = _render_problem(problem, headers)
    answer.headers["content-type"] = "application/json"
    return answer


def _render_inference_error(problem: Problem, headers: dict[str, str] | None) -> Response:
    """Return what the Open Inference Protocol prescribes: an object with one text, ``error``."""
    return JSONResponse({"error": problem.detail}, problem.status, headers)


_STYLES: Final[dict[str, Callable[[Problem, dict[str, str] | None], Response]]] = {
    "/v2": _render_inference_error
}
"""How errors look below an address, where they are not problem details alone."""


def _make_problem(
    status: int,
    code: str,
    detail: str,
    request_id: str = "",
    fields: tuple[errors.FieldError, ...] = (),
) -> Problem:
    listed = [
        FieldProblem(
            pointer=field.pointer, got=field.got, expected=field.expected, message=field.message
        )
        for field in fields
    ]
    return Problem(
        type=f"urn:zeroskew:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        error=detail,
        code=code,
        request_id=request_id,
        errors=listed,
    )


def refusal_response() -> Response:
    """Return the answer to a request that is refused before the application sees it.

    It has no request id, and its type is plain JSON: that is what clients of every protocol
    that the service speaks can read.
    """
    error = errors.OverloadedError()
    problem = _make_problem(HTTPStatus.TOO_MANY_REQUESTS, error.code, str(error))
    return _render_json(problem, _HEADERS[error.code])


def list_codes(status: HTTPStatus) -> list[str]:
    """Return the codes that a problem of a status may have, sorted.

    >>> list_codes(HTTPStatus.CONFLICT)
    ['label_conflict', 'prediction_failed', 'registry_conflict']
    """
    codes = {kind.code for kind in _list_kinds(errors.ServiceError) if _status_of(kind) is status}
    return sorted(codes | {code for number, code in _HTTP_CODES.items() if number == status})


def _list_kinds(root: type[errors.ServiceError]) -> Iterator[type[errors.ServiceError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _list_kinds(kind)


def _status_of(kind: type[errors.ServiceError]) -> HTTPStatus:
    return next(_STATUS[base] for base in kind.__mro__ if base in _STATUS)


def install_error_responses(app: FastAPI) -> None:
    """Let `app` answer every error that a route raises."""
    app.add_exception_handler(errors.ServiceError, _answer_service_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_refused_parameter)


async def _answer_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ServiceError)
    return answer_service_error(request, error)


def answer_service_error(request: Request, error: errors.ServiceError) -> Response:
    """Return the answer to an error of the service's own, and log it if it is the service's."""
    status = _status_of(type(error))
    if status == HTTPStatus.UNPROCESSABLE_ENTITY and f"{request.scope['path']}/".startswith("/v2/"):
        # The Open Inference Protocol has no other status for what is wrong in a request.
        status = HTTPStatus.BAD_REQUEST
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("request_failed", code=error.code, reason=str(error), exc_info=error)
    elif status > HTTPStatus.INTERNAL_SERVER_ERROR:
        # Something else is away: a probe asks every few seconds, and no line of ours is to blame.
        context_of(request.scope).failure = _describe_failure(error)
    hidden = status == HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(
        error, errors.ModelRefusedError
    )
    return _error_response(
        request,
        status=int(status),
        code=error.code,
        detail=_HIDDEN_DETAIL.get(error.code, _UNEXPECTED) if hidden else str(error),
        fields=error.fields,
        headers=(
            dict(error.headers)
            if isinstance(error, access_errors.AccessError)
            else _HEADERS.get(error.code)
        ),
    )


def answer_crash(request: Request) -> Response:
    """Return the answer to an exception that nobody foresaw, which names the request's id alone."""
    return _error_response(
        request,
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        code=errors.ServiceError.code,
        detail=_UNEXPECTED,
    )


def _describe_failure(error: errors.ServiceError) -> dict[str, str]:
    told = {"code": error.code, "reason": str(error)}
    if error.__cause__ is not None:
        told["cause"] = f"{type(error.__cause__).__name__}: {error.__cause__}"
    return told


async def _answer_refused_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer_service_error(request, refuse_parameter(error.errors()[0]))


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {404: f"Got {request.method} for an address that the service does not have."}
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = allowed = ", ".join(allowed_methods(request.scope))
        details[405] = f"Got {request.method}, but expected one of {allowed} at this address."
    return _error_response(
        request,
        status=error.status_code,
        code=_HTTP_CODES.get(error.status_code, "http_error"),
        detail=details.get(error.status_code, HTTPStatus(error.status_code).description),
        headers=headers,
    )
