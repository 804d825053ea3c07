"""The bodies that Feast's clients send, and their limits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.errors import FieldError, InvalidRequestError, MalformedJsonError
from api.field_errors import describe, json_pointer, translate_validation_error

__all__ = [
    "FeastLimits",
    "OnlineFeaturesRequest",
    "PushRequest",
    "WriteRequest",
    "count_rows",
    "parse_body",
]

Columns = dict[str, list[Any]]
_ENTITIES = "One list a join key, all of one length; `null` matches nothing. Others are ignored."
_FRAME = "One list a column, all of one length: join keys, features, event times."


@dataclass(frozen=True, slots=True)
class FeastLimits:
    """How much one request may read or write; a cell is one value of one row."""

    max_rows: int
    max_cells: int
    max_text_length: int


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


_ONE_OF_BOTH: Final[dict[str, Any]] = {
    "oneOf": [
        {
            "required": ["feature_service"],
            "properties": {"feature_service": {"type": "string"}, "features": {"maxItems": 0}},
        },
        {
            "required": ["features"],
            "properties": {"feature_service": {"type": "null"}, "features": {"minItems": 1}},
        },
    ]
}


_EACH_ONCE: Final[dict[str, Any]] = {
    "uniqueItems": True,
    "items": {"type": "string", "pattern": "^[^:]+:[^:]+$"},
}


class OnlineFeaturesRequest(_Body):
    """Which features, of which entities."""

    model_config = ConfigDict(json_schema_extra=_ONE_OF_BOTH)

    entities: Columns = Field(description=_ENTITIES)
    feature_service: str | None = None
    features: list[str] = Field(
        default=[],
        description="`view:feature`, each once, without a service.",
        json_schema_extra=_EACH_ONCE,
    )
    full_feature_names: bool = Field(
        default=False, description="Whether features are named `view__feature`."
    )
    include_feature_view_version_metadata: bool = False


class _Frame(_Body):
    df: Columns = Field(description=_FRAME)
    allow_registry_cache: bool = Field(default=True, description="Accepted; changes nothing.")
    transform_on_write: bool = Field(default=True, description="Accepted; changes nothing.")


class PushRequest(_Frame):
    """Rows for every view that a push source feeds."""

    push_source_name: str
    to: str = Field(
        default="online",
        description="`online`; the service writes nothing else.",
        json_schema_extra={"enum": ["online"]},
    )


class WriteRequest(_Frame):
    """Rows for one view."""

    feature_view_name: str


_BodyType = TypeVar("_BodyType", bound=_Body)


def parse_body(kind: type[_BodyType], body: bytes) -> _BodyType:
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


def count_rows(columns: Columns, pointer: str, n_cells_a_row: int, limits: FeastLimits) -> int:
    """Return the common length of some columns; 0 where there are none.

    Raises
    ------
    InvalidRequestError
        If lengths differ, or there are too many rows or cells.
    """
    first = next(iter(columns.values()), [])
    for name, values in columns.items():
        if len(values) != len(first):
            where = json_pointer(pointer, name)
            raise _refused(where, describe(values), f"a list of {len(first)}, as the first one")
    n_rows = len(first)
    if n_rows > limits.max_rows:
        raise _refused(pointer, f"{n_rows} rows", f"at most {limits.max_rows}")
    if n_rows * n_cells_a_row > limits.max_cells:
        cells = f"{n_rows} rows of {n_cells_a_row} values"
        raise _refused(pointer, cells, f"at most {limits.max_cells} values")
    return n_rows


def _refused(pointer: str, got: str, expected: str) -> InvalidRequestError:
    field = FieldError(pointer, got, expected)
    return InvalidRequestError(field.message, (field,))


def _refuse_repeated_names(pairs: list[tuple[str, Any]]) -> None:
    """Refuse a name given twice in an object; the validator took its last value."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise InvalidRequestError(
            f"Got {describe(repeated)} twice in an object, but expected it once."
        )
