"""The types of single values in an instance: request fields and overridden features."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic_core import PydanticCustomError

from zeroskew.contract.errors.fields import describe, json_pointer
from zeroskew.contract.errors.service import FieldError, ModelRefusedError
from zeroskew.contract.manifest import Column, FieldType, Manifest, RequestField, RequestInput
from zeroskew.contract.number_bounds import EXACT_FLOAT, INT32, INT64, MAX_FLOAT32
from zeroskew.contract.time.epoch import EPOCH

__all__ = [
    "InstanceLimits",
    "find_rounded",
    "has_large_float",
    "make_field",
    "make_override_type",
    "parse_timestamp",
]

_RFC3339: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:[0-5]\d)", re.ASCII
)
_MAX_TIMESTAMP_LENGTH: Final = 64
_TIMESTAMP: Final = (
    "an RFC 3339 timestamp with UTC offset, to the microsecond at most, "
    "such as 2013-10-01T10:17:00-04:00"
)


@dataclass(frozen=True, slots=True)
class InstanceLimits:
    """How many instances a request may have, and how long their texts may be."""

    max_instances: int
    max_text_length: int


def _to_whole_number(given: Any) -> Any:
    """Return 880 for 880.0, which JSON has no other type for and pandas writes beside a null."""
    if type(given) is float and given.is_integer() and abs(given) <= EXACT_FLOAT:
        return int(given)
    return given


_SCHEMA_EXTRAS: Final[dict[FieldType, Any]] = {
    FieldType.STRING: {"pattern": r"^[^\u0000]*$"},
    FieldType.TIMESTAMP: {"format": "date-time"},
}
_NUMBER: Final = Annotated[float, Field(allow_inf_nan=False, ge=-MAX_FLOAT32, le=MAX_FLOAT32)]


def make_field(field: RequestField, manifest: Manifest, limits: InstanceLimits) -> Any:
    """Return a request field as `pydantic.create_model` takes it: its type and its `Field`.

    Raises
    ------
    ModelRefusedError
        If it is declared in a way that cannot be checked.
    """
    if field.choices is not None and field.type is not FieldType.STRING:
        raise ModelRefusedError(f"Got choices for {field.name!r} of type {field.type}.")
    kind = _field_type(field, manifest, limits)
    described = Field(
        alias=field.name,
        title=field.name,
        description=field.description,
        examples=[field.example],
        json_schema_extra=_SCHEMA_EXTRAS.get(field.type) if field.choices is None else None,
    )
    return (kind | None if field.nullable else kind, described)


def _field_type(field: RequestField, manifest: Manifest, limits: InstanceLimits) -> Any:
    if field.choices is not None:
        return Literal[field.choices]
    key_types = {
        key.type
        for view in manifest.plan.views
        for key in view.join_keys
        if key.field == field.name
    }
    return {
        FieldType.STRING: _text(limits),
        FieldType.INTEGER: _whole_number(INT32 if "INT32" in key_types else INT64),
        FieldType.NUMBER: _NUMBER,
        FieldType.BOOLEAN: bool,
        FieldType.TIMESTAMP: Annotated[
            str, Field(max_length=_MAX_TIMESTAMP_LENGTH), AfterValidator(parse_timestamp)
        ],
    }[field.type]


def make_override_type(
    title: str, manifest: Manifest, limits: InstanceLimits
) -> type[BaseModel] | None:
    """Return the type of an instance's overrides, by ``view:feature``; ``None`` without features.

    Every feature may be left out, and may be null, which overrides it with a missing value.
    """
    fields: dict[str, Any] = {}
    sources: tuple[Column | RequestInput, ...] = (
        *manifest.plan.columns,
        *manifest.plan.request_inputs,
    )
    for source in sources:
        if source.view is None or f"{source.view}:{source.feature}" in fields:
            continue
        types = {
            feature.name: feature.type
            for view in manifest.plan.views
            if view.name == source.view
            for feature in view.features
        }
        fields[f"{source.view}:{source.feature}"] = _override_type(
            types[str(source.feature)], limits
        )
    if not fields:
        return None
    # As in instances, the names are not Python's: a field is a number, its name an alias.
    numbered: dict[str, Any] = {
        f"feature_{number}": (kind | None, Field(None, alias=name, title=name))
        for number, (name, kind) in enumerate(fields.items())
    }
    return create_model(
        f"{title}Overrides",
        __config__=ConfigDict(extra="forbid", strict=True),
        __doc__="Values that the model takes instead of the stored ones, by `view:feature`.",
        **numbered,
    )


# Made once for each type: a model has many features of few types, and loading one counts.
@functools.cache
def _override_type(value_type: str, limits: InstanceLimits) -> Any:
    return {
        "INT32": _whole_number(INT32),
        "INT64": _whole_number(INT64),
        "FLOAT": _NUMBER,
        "DOUBLE": _NUMBER,
        "BOOL": bool,
        "UNIX_TIMESTAMP": Annotated[
            str, Field(max_length=_MAX_TIMESTAMP_LENGTH), AfterValidator(parse_timestamp)
        ],
    }.get(value_type, _text(limits))


def _whole_number(bounds: range) -> Any:
    described = Field(ge=bounds.start, le=bounds.stop - 1)
    return Annotated[int, described, BeforeValidator(_to_whole_number)]


def _text(limits: InstanceLimits) -> Any:
    without_nul = Field(
        max_length=limits.max_text_length, json_schema_extra=_SCHEMA_EXTRAS[FieldType.STRING]
    )
    return Annotated[str, without_nul, AfterValidator(_refuse_nul)]


def parse_timestamp(text: str) -> float:
    """Return the seconds since the Unix epoch of an RFC 3339 timestamp.

    Two texts of one instant give the same number, whatever their UTC offsets. A leap
    second, and a text without an offset, are refused.

    >>> parse_timestamp("1970-01-01T01:00:00.5+01:00")
    0.5

    Raises
    ------
    PydanticCustomError
        If `text` is not such a timestamp.
    """
    if _RFC3339.fullmatch(text):
        try:
            return (datetime.fromisoformat(text.upper()) - EPOCH).total_seconds()
        except ValueError:
            pass
    raise PydanticCustomError("unexpected", "{expected}", {"expected": _TIMESTAMP})


def _refuse_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("unexpected", "{expected}", {"expected": "text without NUL"})
    return text


def has_large_float(values: Iterable[Any]) -> bool:
    """Tell whether a float among parsed values may be a whole number that was rounded.

    A validator for each number would double the time in which a request is read, so what was
    parsed is looked at, and what came only where a number is large.

    >>> has_large_float([1.5, None, "AA", 2**60]), has_large_float([2.0**60])
    (False, True)
    """
    return any(type(one) is float and not -EXACT_FLOAT < one < EXACT_FLOAT for one in values)


def find_rounded(
    came: Mapping[str, Any], parsed: Iterable[tuple[str, Any]], pointer: str
) -> Iterator[FieldError]:
    """Yield a finding for each whole number in an object that was parsed as another float.

    Parameters
    ----------
    came
        The object.
    parsed
        Names in it, and what their values were parsed as.
    pointer
        Where it is in the body.
    """
    for name, value in parsed:
        given = came.get(name)
        if type(value) is float and type(given) is int and given != value:
            expected = "a whole number that float64 holds"
            yield FieldError(json_pointer(pointer, name), describe(given), expected)
