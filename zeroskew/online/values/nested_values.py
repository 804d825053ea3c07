"""Feast's lists, maps and structs: what `zeroskew.online.values.decode` is for single values.

A map's values are of any type, and each says of which. No model reads such features; Feast's
clients do.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final, TypeAlias

from zeroskew.contract.errors.service import OnlineValueError
from zeroskew.online.values.decode import (
    NULL_FIELD,
    TEXT_TYPES,
    VARINT_BITS,
    ValueType,
    decode_value,
    to_signed,
)
from zeroskew.online.values.protobuf_fields import (
    FIXED32,
    FIXED64,
    LENGTH_DELIMITED,
    VARINT,
    read_varint,
)

__all__ = ["ELEMENTS", "MAPS", "FeatureType", "NestedType", "decode_feature", "find_type"]


class NestedType(IntEnum):
    """Feast's types of several values under Feast's names and numbers."""

    BYTES_LIST = 11
    STRING_LIST = 12
    INT32_LIST = 13
    INT64_LIST = 14
    DOUBLE_LIST = 15
    FLOAT_LIST = 16
    BOOL_LIST = 17
    UNIX_TIMESTAMP_LIST = 18
    MAP = 20
    MAP_LIST = 21
    JSON_LIST = 33
    STRUCT = 34
    STRUCT_LIST = 35
    UUID_LIST = 38
    TIME_UUID_LIST = 39
    DECIMAL_LIST = 45


FeatureType: TypeAlias = ValueType | NestedType

MAPS: Final = frozenset({NestedType.MAP, NestedType.STRUCT})
_MAP_LISTS: Final = frozenset({NestedType.MAP_LIST, NestedType.STRUCT_LIST})
ELEMENTS: Final = {
    kind: ValueType[kind.name.removesuffix("_LIST")]
    for kind in NestedType
    if kind not in MAPS | _MAP_LISTS
}
"""The type of a list's values."""

_VALUE_LIST_FIELD: Final = 42
_FIXED: Final = {ValueType.DOUBLE: "d", ValueType.FLOAT: "f"}


def find_type(name: str) -> FeatureType | None:
    """Return the type of that name; ``None`` for one that the service does not read.

    >>> find_type("INT64_LIST"), find_type("INT64_SET")
    (<NestedType.INT64_LIST: 14>, None)
    """
    return ValueType.__members__.get(name) or NestedType.__members__.get(name)


def decode_feature(data: bytes, kind: FeatureType) -> Any:
    """Return the Python value of a serialised ``feast.types.Value``.

    Parameters
    ----------
    data
        The message. Empty, or with ``null_val`` set, it is a null.
    kind
        The type that the value must have.

    Returns
    -------
    object
        What `decode_value` returns for a single value; a list, or a dictionary by text, of such.

    Raises
    ------
    OnlineValueError
        If the message is damaged, or has another type than `kind`.
    """
    if isinstance(kind, ValueType):
        return decode_value(data, kind)
    try:
        fields = list(_read_fields(data))
        if not fields or fields[0][0] == NULL_FIELD:
            return None
        [(number, content)] = fields
        if number != kind:
            raise OnlineValueError(f"Got a stored value of another type, but expected {kind.name}.")
        return _decode(number, content)
    except (LookupError, struct.error, TypeError, ValueError, RecursionError) as error:
        raise OnlineValueError(
            f"Got a damaged stored value, but expected one {kind.name}."
        ) from error


def _decode(number: int, content: bytes | int) -> Any:
    if not isinstance(content, bytes):
        raise TypeError(number)
    kind = NestedType(number)
    if kind in MAPS:
        return _decode_map(content)
    if kind in _MAP_LISTS:
        return [_decode_map(one) for one in _contents(content)]
    return _decode_list(content, ELEMENTS[kind])


def _decode_list(content: bytes, element: ValueType) -> list[Any]:
    if element in TEXT_TYPES:
        return [one.decode() for one in _contents(content)]
    if element is ValueType.BYTES:
        return list(_contents(content))
    values: list[Any] = []
    for _, packed in _read_fields(content):
        if isinstance(packed, int):  # One that is not packed, as a reader must take too.
            values.append(packed)
        elif element in _FIXED:
            size = struct.calcsize(_FIXED[element])
            values += struct.unpack(f"<{len(packed) // size}{_FIXED[element]}", packed)
        else:
            position = 0
            while position < len(packed):
                number, position = read_varint(packed, position)
                values.append(number)
    if element is ValueType.BOOL:
        return [value != 0 for value in values]
    bits = VARINT_BITS.get(element)
    return values if bits is None else [to_signed(value, bits) for value in values]


def _decode_map(content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in _contents(content):
        fields = dict(_read_fields(entry))
        key, value = fields.get(1, b""), fields.get(2, b"")
        if not isinstance(key, bytes) or not isinstance(value, bytes):
            raise TypeError(entry)
        found[key.decode()] = _decode_any(value)
    return found


def _decode_any(data: bytes) -> Any:
    """Return a value of whatever type it says that it is."""
    fields = list(_read_fields(data))
    if not fields or fields[0][0] == NULL_FIELD:
        return None
    [(number, content)] = fields
    if number == _VALUE_LIST_FIELD and isinstance(content, bytes):
        return [_decode_any(one) for one in _contents(content)]
    if number in ValueType.__members__.values():
        return decode_value(data, ValueType(number))
    return _decode(number, content)


def _contents(message: bytes) -> Iterator[bytes]:
    for _, content in _read_fields(message):
        if not isinstance(content, bytes):
            raise TypeError(message)
        yield content


def _read_fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield the number and the content of each field; of a fixed one, its bytes.

    Raises
    ------
    LookupError, ValueError
        If the message ends too early, or has an unknown wire type.
    """
    position = 0
    while position < len(message):
        tag, position = read_varint(message, position)
        wire_type = tag & 7
        if wire_type == VARINT:
            number, position = read_varint(message, position)
            yield tag >> 3, number
            continue
        if wire_type == LENGTH_DELIMITED:
            length, position = read_varint(message, position)
        else:
            length = {FIXED64: 8, FIXED32: 4}.get(wire_type, len(message))
        end = position + length
        if end > len(message):
            raise IndexError(position)
        yield tag >> 3, message[position:end]
        position = end
