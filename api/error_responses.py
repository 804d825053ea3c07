"""The one place where errors become HTTP answers: problem details after RFC 9457."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import structlog
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api import errors
from api.schemas import FieldProblem, Problem

__all__ = ["PROBLEM_MEDIA_TYPE", "install_error_responses", "problem_response"]

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

_STATUS: Final[dict[type[errors.ServiceError], HTTPStatus]] = {
    errors.MalformedJsonError: HTTPStatus.BAD_REQUEST,
    errors.BodyTimeoutError: HTTPStatus.REQUEST_TIMEOUT,
    errors.BodyTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedMediaTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.InvalidRequestError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.NotSupportedError: HTTPStatus.NOT_IMPLEMENTED,
    errors.UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ServiceError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
# The rest of a body that came too slowly may still come, for as long as the client likes.
_HEADERS: Final = {errors.BodyTimeoutError.code: {"Connection": "close"}}
_HTTP_CODES: Final = {404: "unknown_route", 405: "method_not_allowed"}
_UNEXPECTED: Final = "The service failed; its log says more under this request id."
_HIDDEN_DETAIL: Final = {
    errors.ModelRefusedError.code: "This model version did not pass the checks before loading; "
    "the log says more under this request id.",
    errors.ScoreError.code: "The model gave a score that is not a finite number.",
}
_log: Final = structlog.get_logger(__name__)


def problem_response(
    *,
    status: int,
    code: str,
    detail: str,
    request_id: str,
    fields: tuple[errors.FieldError, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """Return one problem as ``application/problem+json``."""
    listed = [
        FieldProblem(
            pointer=field.pointer, got=field.got, expected=field.expected, message=field.message
        )
        for field in fields
    ]
    problem = Problem(
        type=f"urn:zeroskew:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        request_id=request_id,
        errors=listed,
    )
    return Response(
        problem.model_dump_json(exclude_defaults=True),
        status_code=status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


def install_error_responses(app: FastAPI) -> None:
    """Let `app` answer every error that a route raises with a problem."""
    app.add_exception_handler(errors.ServiceError, _answer_service_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)


async def _answer_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ServiceError)
    status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("request_failed", code=error.code, reason=str(error), exc_info=error)
    hidden = status == HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(
        error, errors.ModelRefusedError
    )
    return problem_response(
        status=int(status),
        code=error.code,
        detail=_HIDDEN_DETAIL.get(error.code, _UNEXPECTED) if hidden else str(error),
        request_id=request.state.request_id,
        fields=error.fields,
        headers=_HEADERS.get(error.code),
    )


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {
        404: f"Got {request.method} for an address that the service does not have.",
        405: f"Got {request.method}, but expected another method at this address.",
    }
    return problem_response(
        status=error.status_code,
        code=_HTTP_CODES.get(error.status_code, "http_error"),
        detail=details.get(error.status_code, HTTPStatus(error.status_code).description),
        request_id=request.state.request_id,
        headers=dict(error.headers or {}),
    )
