"""The values of one column of a request: JSON in, values as Feast stores them out."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypeVar
from uuid import UUID

from zeroskew.contract.errors.fields import MAX_FIELDS, describe, json_pointer
from zeroskew.contract.errors.service import FieldError, InvalidRequestError
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.online.values.decode import BYTES_TYPES, TEXT_TYPES, Value, ValueType
from zeroskew.online.values.encode import round_to_float32
from zeroskew.online.values.encode_nested import infer_type
from zeroskew.online.values.nested_values import ELEMENTS, MAPS, FeatureType, NestedType

__all__ = ["RefusedFields", "parse_column", "parse_instants"]

_INSTANT: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d{1,9})?([Zz]|[+-]\d{2}:[0-5]\d)?", re.ASCII
)
_INSTANT_EXPECTED: Final = (
    "a time of the years 1 to 9999 such as 2013-10-01T10:17:00Z; without an offset it is UTC"
)
_NO_TIME: Final = -(1 << 63)
"""What Feast's client sends for a null time."""
_LONGEST_DECIMAL: Final = 128
_DEEPEST: Final = 32
"""How many levels a map may have: protobuf, and so Feast, reads 100, and a map is three of them."""
_T = TypeVar("_T")


class RefusedFields:
    """The refused places of a body, up to a number that a person reads."""

    def __init__(self) -> None:
        self._fields: list[FieldError] = []

    def add(self, pointer: str, got: str, expected: str) -> None:
        """Note one place."""
        self._fields.append(FieldError(pointer, got, expected))

    @property
    def are_any(self) -> bool:
        """Whether the body is refused."""
        return bool(self._fields)

    @property
    def are_enough(self) -> bool:
        """Whether looking for more helps nobody."""
        return len(self._fields) >= MAX_FIELDS

    def raise_any(self) -> None:
        """Refuse the body if there is any.

        Raises
        ------
        InvalidRequestError
            With all of them.
        """
        if self._fields:
            raise InvalidRequestError(self._fields[0].message, tuple(self._fields))


def parse_column(
    values: Sequence[object],
    kind: FeatureType,
    pointer: str,
    findings: RefusedFields,
    *,
    nullable: bool = True,
) -> list[Any]:
    """Return the values of a column as `decode_feature` gives them.

    Parameters
    ----------
    values
        From JSON. Bytes are base64, as in Feast's own answers, and so are the texts ``NaN``,
        ``Infinity`` and ``-Infinity`` for numbers; a Unix timestamp is whole seconds or text.
    kind
        What they must be.
    pointer
        The column's place in the body.
    findings
        Takes what is refused; the result means nothing then.
    nullable
        Whether a null may stand for a value.
    """
    return _parse(values, _PARSERS[kind], _EXPECTED[kind], pointer, findings, nullable)


def parse_instants(
    values: Sequence[object], pointer: str, findings: RefusedFields, *, nullable: bool = True
) -> list[int | None]:
    """Return the microseconds since the Unix epoch of a column of times, as Feast's client writes.

    Nanoseconds are cut off, towards the past.

    Parameters
    ----------
    values
        RFC 3339 texts, with or without an offset; without one they are UTC.
    pointer, findings, nullable
        As for `parse_column`.

    Examples
    --------
    >>> parse_instants(["1970-01-01 01:00:00.0000019+01:00", None], "", RefusedFields())
    [1, None]
    """
    return _parse(values, _parse_instant, _INSTANT_EXPECTED, pointer, findings, nullable)


def _parse(
    values: Sequence[object],
    parse: Callable[[object], _T],
    expected: str,
    pointer: str,
    findings: RefusedFields,
    nullable: bool,
) -> list[_T | None]:
    parsed: list[_T | None] = []
    for row, value in enumerate(values):
        if value is None and nullable:
            parsed.append(None)
            continue
        try:
            parsed.append(parse(value))
        except (TypeError, ValueError, KeyError, ArithmeticError, RecursionError):
            findings.add(json_pointer(pointer, row), describe(value), expected)
            if findings.are_enough:
                break
    return parsed


def _parse_instant(value: object) -> int:
    found = _INSTANT.fullmatch(_text(value))
    if found is None:
        raise ValueError
    day, time, fraction, offset = found.groups()
    instant = datetime.fromisoformat(f"{day}T{time}{(offset or 'Z').upper()}").astimezone(UTC)
    return to_epoch_us(instant) + int((fraction or ".")[1:].ljust(6, "0")[:6])


def _parse_unix_timestamp(value: object) -> int | None:
    if isinstance(value, str):
        instant_us = _parse_instant(value)
        # Towards 1970, as Feast cuts the fraction off.
        return abs(instant_us) // 1_000_000 * (1 if instant_us >= 0 else -1)
    seconds = _whole_number(value, 64)
    return None if seconds == _NO_TIME else seconds


def _whole_number(value: object, bits: int) -> int:
    if type(value) is not int or not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError
    return value


def _parse_double(value: object) -> float:
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    number = float(value) if type(value) in (int, float) else math.nan  # type: ignore[arg-type]
    if not math.isfinite(number) or number != value:  # Python compares with a whole number exactly.
        raise ValueError
    return number


def _parse_float(value: object) -> float:
    number = _parse_double(value)
    rounded = round_to_float32(number)
    if math.isinf(rounded) and not math.isinf(number):
        raise ValueError
    return rounded


def _parse_bool(value: object) -> bool:
    if type(value) is not bool:
        raise TypeError
    return value


def _text(value: object) -> str:
    if type(value) is not str or "\0" in value:
        raise TypeError
    return value


def _parse_bytes(value: object) -> bytes:
    return base64.b64decode(_text(value), validate=True)


def _parse_json(value: object) -> str:
    text = _text(value)
    json.loads(text)
    return text


def _parse_uuid(value: object) -> str:
    text = _text(value)
    UUID(text)
    return text


def _parse_decimal(value: object) -> str:
    text = _text(value)
    if len(text) > _LONGEST_DECIMAL:
        raise ValueError
    Decimal(text)
    return text


def _parse_list(element: ValueType) -> Callable[[object], list[Any]]:
    parse = _SCALARS[element]

    def parse_all(value: object) -> list[Any]:
        if not isinstance(value, list):
            raise TypeError
        parsed = [parse(one) for one in value]
        if None in parsed:
            raise ValueError
        return parsed

    return parse_all


def _parse_map(value: object) -> dict[str, Any]:
    """Return a map, which Feast's client sends as text."""
    found = json.loads(value, object_pairs_hook=_take_once) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise TypeError
    _check_inside(found, _DEEPEST)
    return found


def _take_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(made := dict(pairs)) < len(pairs):
        raise ValueError
    return made


def _check_inside(value: object, n_levels: int) -> None:
    """Refuse what a map cannot have inside, and more levels of maps and lists than are left."""
    if isinstance(value, dict | list) and n_levels == 0:
        raise ValueError
    if isinstance(value, str):
        value.encode()  # Half of a surrogate pair has no bytes.
    elif isinstance(value, dict):
        for name, one in value.items():
            name.encode()
            if one is not None:
                _check_inside(one, n_levels - 1)
    elif isinstance(value, list):
        for one in value:
            _check_inside(one, n_levels - 1)
    infer_type(value)


def _parse_maps(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise TypeError
    return [_parse_map(one) for one in value]


_SCALARS: Final[dict[FeatureType, Callable[[object], Value | None]]] = {
    **dict.fromkeys(BYTES_TYPES, _parse_bytes),
    **dict.fromkeys(TEXT_TYPES, _text),
    ValueType.INT32: lambda value: _whole_number(value, 32),
    ValueType.INT64: lambda value: _whole_number(value, 64),
    ValueType.UNIX_TIMESTAMP: _parse_unix_timestamp,
    ValueType.DOUBLE: _parse_double,
    ValueType.FLOAT: _parse_float,
    ValueType.BOOL: _parse_bool,
    ValueType.JSON: _parse_json,
    ValueType.UUID: _parse_uuid,
    ValueType.TIME_UUID: _parse_uuid,
    ValueType.DECIMAL: _parse_decimal,
}
_PARSERS: Final[dict[FeatureType, Callable[[object], Any]]] = {
    **_SCALARS,
    **{kind: _parse_list(element) for kind, element in ELEMENTS.items()},
    **dict.fromkeys(MAPS, _parse_map),
    NestedType.MAP_LIST: _parse_maps,
    NestedType.STRUCT_LIST: _parse_maps,
}
_EXPECTED_SCALARS: Final[dict[FeatureType, str]] = {
    **dict.fromkeys(BYTES_TYPES, "bytes as base64"),
    ValueType.STRING: "text without NUL",
    ValueType.INT32: "a whole number of 32 bits",
    ValueType.INT64: "a whole number of 64 bits",
    ValueType.UNIX_TIMESTAMP: f"whole seconds since 1970, or {_INSTANT_EXPECTED}",
    ValueType.DOUBLE: 'a number that float64 holds, "NaN", "Infinity" or "-Infinity"',
    ValueType.FLOAT: 'a number of 32 bits, "NaN", "Infinity" or "-Infinity"',
    ValueType.BOOL: "true or false",
    ValueType.JSON: "text that is JSON",
    ValueType.UUID: "a UUID as text",
    ValueType.TIME_UUID: "a UUID as text",
    ValueType.DECIMAL: "a decimal number as text",
}
_INSIDE: Final = f"with names once, values that Feast has, and at most {_DEEPEST} levels"
_EXPECTED: Final[dict[FeatureType, str]] = {
    **_EXPECTED_SCALARS,
    **{
        kind: f"a list without nulls, of {_EXPECTED_SCALARS[element]} each"
        for kind, element in ELEMENTS.items()
    },
    **dict.fromkeys(MAPS, f"an object, or its JSON as text, {_INSIDE}"),
    NestedType.MAP_LIST: f"a list of objects {_INSIDE}",
    NestedType.STRUCT_LIST: f"a list of objects {_INSIDE}",
}
