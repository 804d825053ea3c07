"""Errors as Feast's own server gives them, so that its client raises its own exceptions.

Feast's client for ``online_store: {type: remote}`` reads from an answer's JSON a text, and in that
text a JSON object with the Python class that it is to raise. Nothing in its requests says that
it is Feast, but for the HTTP library that it uses.
"""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from zeroskew.contract.errors import access as access_errors
from zeroskew.contract.errors import not_found
from zeroskew.contract.errors import service as errors

__all__ = ["feast_error_response", "is_feast_client"]

_PREFIX: Final = "/feast/"
_CLIENT: Final = "python-requests/"
_MODULE: Final = "feast.errors"
_ANY: Final = "FeastError"
_CLASSES: Final = {
    not_found.UnknownFeatureViewError.code: "FeatureViewNotFoundException",
    not_found.UnknownFeatureError.code: "FeastObjectNotFoundException",
    not_found.UnknownFeatureServiceError.code: "FeatureServiceNotFoundException",
    not_found.UnknownPushSourceError.code: "PushSourceNotFoundException",
    errors.MissingRequestDataError.code: "RequestDataNotFoundInEntityRowsException",
    errors.FeatureNameCollisionError.code: "FeatureNameCollisionError",
    access_errors.UnauthenticatedError.code: "FeastPermissionError",
    access_errors.ForbiddenError.code: "FeastPermissionError",
}
"""Feast's class for an error's code."""


def is_feast_client(path: str, user_agent: str) -> bool:
    """Whether an answer to a request to `path` is read by Feast's client for Python."""
    return path.startswith(_PREFIX) and user_agent.startswith(_CLIENT)


def feast_error_response(problem: dict[str, Any], headers: dict[str, str] | None) -> Response:
    """Return problem details as text that Feast's client makes an exception of."""
    detail = {
        "module": _MODULE,
        "class": _CLASSES.get(problem["code"], _ANY),
        "message": problem["detail"],
    }
    return JSONResponse(json.dumps(detail | problem), problem["status"], headers)
