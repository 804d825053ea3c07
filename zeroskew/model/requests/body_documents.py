"""Bodies that are one JSON document of a known shape: parsed strictly, refused by place."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from zeroskew.contract.errors.fields import describe, translate_validation_error, unexpected
from zeroskew.contract.errors.service import InvalidRequestError, MalformedJsonError

__all__ = ["SCHEMAS", "Note", "RequestDocument", "describe_body", "parse_document"]


SCHEMAS: Final = "#/components/schemas/"
"""Where the OpenAPI document has its types."""


def _refuse_nul(text: str) -> str:
    if "\0" in text:
        raise unexpected("text without NUL")
    return text


Note = Annotated[
    str,
    Field(max_length=1000, json_schema_extra={"pattern": r"^[^\u0000]*$"}),
    AfterValidator(_refuse_nul),
]
"""Text that a person wrote for a person; PostgreSQL keeps no NUL."""


class RequestDocument(BaseModel):
    """The root of the documents that routes take."""

    model_config = ConfigDict(extra="forbid", strict=True)


def describe_body(
    kind: type[RequestDocument], *, is_required: bool = True, example: Any = None
) -> dict[str, Any]:
    """Return what OpenAPI is told of a body that the route itself reads.

    The type is one of those that `api.pages.openapi` describes.
    """
    schema = {"$ref": f"{SCHEMAS}{kind.__name__}"}
    content = {"schema": schema} | ({} if example is None else {"example": example})
    return {"requestBody": {"required": is_required, "content": {"application/json": content}}}


_Document = TypeVar("_Document", bound=RequestDocument)


def parse_document(kind: type[_Document], body: bytes) -> _Document:
    """Check a body and return it.

    Raises
    ------
    MalformedJsonError
        If it is not JSON in UTF-8.
    InvalidRequestError
        If a field is missing, unknown, repeated or of another type.
    """
    try:
        parsed = kind.model_validate_json(body)
    except ValidationError as error:
        refused = translate_validation_error(error)
        if isinstance(refused, MalformedJsonError):
            raise refused from error
        raise InvalidRequestError(str(refused), refused.fields) from error
    try:
        json.loads(body, object_pairs_hook=_refuse_repeated_names)
    except ValueError as error:
        raise MalformedJsonError("Got a whole number of too many digits.") from error
    return parsed


def _refuse_repeated_names(pairs: list[tuple[str, Any]]) -> None:
    """Refuse a name given twice in an object; the validator took its last value."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise InvalidRequestError(
            f"Got {describe(repeated)} twice in an object, but expected it once."
        )
