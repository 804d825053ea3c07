"""Turns pydantic's findings about a JSON body into the service's own errors."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from zeroskew.contract.errors.service import (
    FieldError,
    InvalidInstancesError,
    InvalidRequestError,
    MalformedJsonError,
)

__all__ = [
    "MAX_FIELDS",
    "describe",
    "expects",
    "json_pointer",
    "malformed_json",
    "refuse_fields",
    "refuse_parameter",
    "shorten",
    "translate_validation_error",
    "unexpected",
]

MAX_FIELDS: Final = 20
_MAX_FINDINGS: Final = 1000
_MAX_SHOWN: Final = 80
_MAX_PARAMETER: Final = 32
_LARGEST_SHOWN: Final = 1 << 64
_POSITION: Final = re.compile(r"line (\d+) column (\d+)")
_EXPECTED: Final = {
    "missing": "a value",
    "string_type": "a string",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "literal_error": "{expected}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than_equal": "a number of at most {le}",
    "greater_than": "a number above {gt}",
    "less_than": "a number below {lt}",
    "list_type": "a list",
    "tuple_type": "a list",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "extra_forbidden": "no field of that name",
    "unexpected": "{expected}",
}
_OF_A_NAME: Final = "[key]"
"""What pydantic adds to the place of a name that is refused, and not its value."""


def unexpected(expected: str, got: str | None = None) -> PydanticCustomError:
    """Return what a validator raises, so that a refusal says what was expected, and what came.

    Without `got` the value itself is what came. Outside of a request it reads like this:

    >>> str(unexpected("1", got="weights that add up to 2"))
    'Got weights that add up to 2, but expected 1.'
    """
    if got is None:
        return PydanticCustomError("unexpected", "{expected}", {"expected": expected})
    return PydanticCustomError(
        "unexpected", "Got {got}, but expected {expected}.", {"got": got, "expected": expected}
    )


def expects(expected: str) -> WrapValidator:
    """Return what lets a type that is one of several be refused as one, not once for each.

    >>> from typing import Annotated
    >>> from pydantic import TypeAdapter
    >>> number = TypeAdapter(Annotated[int | float, expects("a number")])
    >>> try:
    ...     number.validate_python("x")
    ... except ValidationError as error:
    ...     [one["msg"] for one in error.errors()]
    ['a number']
    """

    def check(given: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(given)
        except ValidationError:
            raise unexpected(expected) from None

    return WrapValidator(check)


def translate_validation_error(error: ValidationError) -> InvalidRequestError:
    """Return the error that says where a body is wrong, what came and what was expected.

    Parameters
    ----------
    error
        From ``model_validate_json``. At most 20 of its findings are listed, and none of more
        than 1000, which nobody would read and which would take a second to describe.

    Returns
    -------
    InvalidRequestError
        `MalformedJsonError` with the position where the body stops being JSON, or
        `InvalidInstancesError` with a JSON Pointer to every refused place.
    """
    if error.error_count() > _MAX_FINDINGS:
        got, expected = f"{error.error_count()} mistakes", "fewer; send less to see where they are"
        found = FieldError("", got, expected)
        return InvalidInstancesError(found.message, (found,))
    findings = error.errors(include_url=False)
    if findings[0]["type"] == "json_invalid":
        return malformed_json(str(findings[0].get("ctx", {}).get("error", "")))
    fields = [_field_error(dict(finding)) for finding in findings[:MAX_FIELDS]]
    return refuse_fields(fields, n_found=len(findings))


def refuse_fields(fields: Sequence[FieldError], *, n_found: int = 0) -> InvalidInstancesError:
    """Return the error about the first of the fields, of ``n_found`` or as many as are given."""
    n_more = max(n_found, len(fields)) - 1
    errors = "error" if n_more == 1 else "errors"
    more = f" The body has {n_more} more {errors}." if n_more else ""
    return InvalidInstancesError(fields[0].message + more, tuple(fields[:MAX_FIELDS]))


def refuse_parameter(finding: Mapping[str, Any]) -> InvalidRequestError:
    """Return the error about a parameter of a request's query or headers.

    >>> limit = {"type": "less_than_equal", "loc": ("query", "limit"), "ctx": {"le": 10}}
    >>> str(refuse_parameter(limit | {"input": "12"}))
    "Got limit='12' in the query, but expected a number of at most 10."
    """
    place, name = finding["loc"][:2]
    if finding["type"] == "missing":
        return InvalidRequestError(f"Got no {name} in the {place}, but expected one.")
    expected = _EXPECTED.get(finding["type"], "another value").format(**finding.get("ctx", {}))
    got = str(finding["input"])[:_MAX_PARAMETER]
    return InvalidRequestError(
        f"Got {name}={got!r} in the {place}, but expected {expected.replace(chr(39), '')}."
    )


def malformed_json(reason: str) -> MalformedJsonError:
    """Return the error for a body that the parser did not take; of its `reason` it tells the place.

    >>> str(malformed_json("recursion limit exceeded at line 1 column 202"))
    'Got a body nested deeper than 200 lists and objects at line 1, column 202.'
    """
    position = _POSITION.search(reason)
    where = f" at line {position[1]}, column {position[2]}" if position else ""
    if reason.startswith("recursion limit"):
        return MalformedJsonError(f"Got a body nested deeper than 200 lists and objects{where}.")
    return MalformedJsonError(f"Got a body that stops being JSON in UTF-8{where}.")


def _field_error(finding: dict[str, Any]) -> FieldError:
    kind, place, context = finding["type"], finding["loc"], finding.get("ctx", {})
    expected = _EXPECTED.get(kind, "another value").format(**context)
    got = "nothing" if kind == "missing" else context.get("got") or describe(finding["input"])
    if place[-1:] == (_OF_A_NAME,) and place[-2:-1] == (finding["input"],):
        place = place[:-1]
    return FieldError(json_pointer("", *place), got, expected)


def json_pointer(base: str, *parts: int | str) -> str:
    """Return the JSON Pointer (RFC 6901) `base` continued by `parts`, escaped and shortened.

    >>> json_pointer("/instances", 0, "a/b~c")
    '/instances/0/a~1b~0c'
    """
    return base + "".join(
        "/" + shorten(str(part)).replace("~", "~0").replace("/", "~1") for part in parts
    )


def describe(value: object) -> str:
    """Return a short text for a JSON value, safe to send back to the client.

    >>> describe("EWR"), describe(float("nan")), describe([1, 2])
    ('"EWR"', 'NaN', 'a list of 2')
    """
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) > _LARGEST_SHOWN:
        return "a very large whole number"
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    text = json.dumps(value, default=lambda _: "another value")
    return shorten(text)


def shorten(text: str) -> str:
    """Return the beginning of a text that a person reads in a sentence."""
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
