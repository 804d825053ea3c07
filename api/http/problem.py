"""The document of a refusal (RFC 9457), as the OpenAPI document has it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field

__all__ = ["FieldProblem", "Problem", "problems"]


class FieldProblem(BaseModel):
    """One refused place of the request body."""

    pointer: str = Field(description="JSON Pointer (RFC 6901) to the refused place.")
    got: str
    expected: str
    message: str


class Problem(BaseModel):
    """What went wrong, as problem details (RFC 9457)."""

    type: str = Field(description="`urn:zeroskew:problem:` and the code.")
    title: str
    status: int
    detail: str
    error: str = Field(
        description="The detail once more, where clients of TensorFlow Serving and KServe look."
    )
    code: str = Field(description="Stable and machine-readable.", examples=["unknown_model"])
    request_id: str = Field(
        default_factory=str,
        description="Also in the `X-Request-ID` header and in the log. Absent where the service "
        "refused the request before it looked at it.",
    )
    errors: list[FieldProblem] = Field(
        default_factory=list, description="The refused places of the body, where there are some."
    )


def problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return the errors that a route documents, as FastAPI's ``responses`` take them.

    Those that all routes may answer with are not among them; `api.pages.openapi` adds them, and
    describes all.

    >>> problems(HTTPStatus.CONFLICT)
    {409: {}}
    """
    return {int(status): {} for status in statuses}
