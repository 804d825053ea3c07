"""Writes instances as JSON, and refuses what has no exact meaning there."""

from __future__ import annotations

import json
import numbers
import operator
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from zeroskew_client.errors import InvalidInputError

__all__ = ["encode_fields", "encode_instances"]

_LARGEST: Final = int(sys.float_info.max)
_MAX_SHOWN: Final = 80


def encode_instances(instances: Sequence[Mapping[str, Any]], first: int = 0) -> bytes:
    """Return the body of a request for predictions.

    Parameters
    ----------
    instances
        One mapping each, from a field's name to its value: `None`, a text, a boolean, a
        finite number, or a time with a UTC offset. numpy's scalars, `Decimal` and `Fraction`
        are taken where a JSON number says the same. ``overrides`` may map names to such
        values.
    first
        The place of the first instance among the caller's, for the errors.

    Returns
    -------
    bytes
        ``{"instances": [...]}`` in UTF-8; times as RFC 3339.

    Raises
    ------
    InvalidInputError
        If there are no instances, or one cannot be written; it names the instance and the
        field.

    Examples
    --------
    >>> encode_instances([{"at": datetime(2013, 10, 1, tzinfo=UTC), "miles": Decimal("1.5")}])
    b'{"instances":[{"at":"2013-10-01T00:00:00+00:00","miles":1.5}]}'
    """
    if not instances:
        raise InvalidInputError("Got no instances, but expected at least one.")
    plain = [
        encode_fields(instance, f"/instances/{place}")
        for place, instance in enumerate(instances, first)
    ]
    document = json.dumps(
        {"instances": plain}, allow_nan=False, ensure_ascii=False, separators=(",", ":")
    )
    return document.encode()


def encode_fields(fields: object, pointer: str, *, nested: bool = False) -> dict[str, Any]:
    """Return a mapping as JSON has it, one level of mappings in it included.

    Raises
    ------
    InvalidInputError
        If a name or a value cannot be written; it names the place.
    """
    if not isinstance(fields, Mapping):
        raise _refuse(fields, pointer, "a mapping of field names to values")
    encoded: dict[str, Any] = {}
    for name, value in fields.items():
        if not isinstance(name, str) or not _is_text(name):
            raise _refuse(name, pointer, "a text as the name of a field")
        place = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
        if isinstance(value, Mapping) and not nested:
            encoded[name] = encode_fields(value, place, nested=True)
        else:
            encoded[name] = _encode_value(value, place)
    return encoded


def _encode_value(value: Any, pointer: str) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if not _is_text(value):
            raise _refuse(value, pointer, "text without lone surrogates")
        return value
    if isinstance(value, Decimal | numbers.Real):
        return _encode_number(value, pointer)
    if isinstance(value, datetime):
        return _encode_time(value, pointer)
    # numpy's boolean is no number and no subclass of bool.
    if getattr(value, "shape", None) == () and isinstance(scalar := value.item(), bool):
        return scalar
    raise _refuse(value, pointer, "a text, number, boolean, None, or time with a UTC offset")


def _encode_time(value: datetime, pointer: str) -> str:
    if value.tzinfo is None or (offset := value.utcoffset()) is None:
        raise _refuse(value, pointer, "a time with a UTC offset")
    if offset.seconds % 60 or offset.microseconds:
        # RFC 3339 has no seconds in an offset, as local mean times have.
        try:
            value = value.astimezone(UTC)
        except OverflowError as error:
            raise _refuse(value, pointer, "a time in the years 1 to 9999 of UTC") from error
    return value.isoformat()


def _encode_number(value: Decimal | numbers.Real, pointer: str) -> int | float:
    try:
        number = operator.index(value) if isinstance(value, numbers.Integral) else float(value)
        if isinstance(value, Decimal) and value == value.to_integral_value():
            number = int(value) if abs(number) <= _LARGEST else number
        # What the JSON text says is a decimal number, and so is a Decimal.
        said = Decimal(repr(number)) if isinstance(value, Decimal) else number
    except (TypeError, ValueError, ArithmeticError) as error:
        # A duration of numpy's, which is registered as a whole number; a signalling NaN; a
        # fraction beyond all floats; a whole number with more digits than Python writes.
        raise _refuse(value, pointer, "a finite number") from error
    if not abs(number) <= _LARGEST:
        raise _refuse(value, pointer, "a finite number")
    if said != value:
        raise _refuse(value, pointer, f"a number that JSON says exactly; {number!r} is nearest")
    return number


def _is_text(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _refuse(value: object, pointer: str, expected: str) -> InvalidInputError:
    try:
        shown = repr(value)
    except ValueError:
        # Python writes no whole number of more than 4300 digits.
        shown = "a very large number"
    if len(shown) > _MAX_SHOWN:
        shown = shown[:_MAX_SHOWN] + "…"
    return InvalidInputError(f"Got {shown} at {pointer}, but expected {expected}.")
