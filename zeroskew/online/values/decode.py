"""Feast's bytes: entity keys out, feature values in.

Keys follow version 3 of Feast's entity key serialisation. Values are the protobuf message
``feast.types.Value``: a ``oneof`` whose field number is the number of the value's type, so
a stored value is one tag and one payload, and a null is the empty message or ``null_val``.
The layouts are those of feast 0.67 (``feast/infra/key_encoding_utils.py`` and
``feast/types/Value.proto``), and the tests hold this module to Feast's own code.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, TypeAlias

from zeroskew.contract.errors.service import OnlineValueError
from zeroskew.online.values.protobuf_fields import (
    FIXED32,
    FIXED64,
    LENGTH_DELIMITED,
    VARINT,
    read_varint,
)

__all__ = [
    "BYTES_TYPES",
    "NULL_FIELD",
    "TAGS",
    "TEXT_TYPES",
    "VARINT_BITS",
    "Value",
    "ValueType",
    "decode_value",
    "encode_key_prefix",
    "encode_key_value",
    "to_signed",
]

Value: TypeAlias = bytes | str | int | float | bool


class ValueType(IntEnum):
    """Feast's scalar value types under Feast's names and numbers."""

    BYTES = 1
    STRING = 2
    INT32 = 3
    INT64 = 4
    DOUBLE = 5
    FLOAT = 6
    BOOL = 7
    UNIX_TIMESTAMP = 8
    PDF_BYTES = 30
    IMAGE_BYTES = 31
    JSON = 32
    UUID = 36
    TIME_UUID = 37
    DECIMAL = 44


TEXT_TYPES: Final = frozenset(
    {ValueType.STRING, ValueType.JSON, ValueType.UUID, ValueType.TIME_UUID, ValueType.DECIMAL}
)
"""Types whose values are text; Feast keeps identifiers and decimals as they are written."""

BYTES_TYPES: Final = frozenset({ValueType.BYTES, ValueType.PDF_BYTES, ValueType.IMAGE_BYTES})

NULL_FIELD: Final = 19
_WIRE_TYPES: Final = {
    **dict.fromkeys(TEXT_TYPES | BYTES_TYPES, LENGTH_DELIMITED),
    ValueType.INT32: VARINT,
    ValueType.INT64: VARINT,
    ValueType.DOUBLE: FIXED64,
    ValueType.FLOAT: FIXED32,
    ValueType.BOOL: VARINT,
    ValueType.UNIX_TIMESTAMP: VARINT,
}
# Documents and images are stored in the field of plain bytes.
_FIELDS: Final = {kind: ValueType.BYTES if kind in BYTES_TYPES else kind for kind in ValueType}


def _encode_tag(field: int, wire_type: int) -> bytes:
    """Return the tag of a field below 2048 as a varint."""
    number = field << 3 | wire_type
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80, number >> 7])


TAGS: Final = {kind: _encode_tag(_FIELDS[kind], wire) for kind, wire in _WIRE_TYPES.items()}
"""The bytes before a value's payload, by type."""

_FIXED: Final = {ValueType.DOUBLE: struct.Struct("<d"), ValueType.FLOAT: struct.Struct("<f")}
_NO_TIME: Final = -(1 << 63)
"""What Feast writes for a null time: numpy's ``NaT`` as a whole number."""

VARINT_BITS: Final = {ValueType.INT32: 32, ValueType.INT64: 64, ValueType.UNIX_TIMESTAMP: 64}
_HEADER: Final = struct.Struct("<II")
_KEY_TYPES: Final = {kind: struct.pack("<I", kind) for kind in ValueType}
_INT64_KEY: Final = _HEADER.pack(ValueType.INT64, 8)
_INT32_KEY: Final = _HEADER.pack(ValueType.INT32, 4)


def encode_key_prefix(join_keys: Sequence[str]) -> bytes:
    """Return the part of a serialised entity key that precedes its values.

    Parameters
    ----------
    join_keys
        The names of the join keys, sorted.

    Returns
    -------
    bytes
        The number of keys, then each name with its type and length, little-endian.
    """
    parts = [struct.pack("<I", len(join_keys))]
    for name in join_keys:
        encoded = name.encode()
        parts += [_HEADER.pack(ValueType.STRING, len(encoded)), encoded]
    return b"".join(parts)


def encode_key_value(value: str | int, kind: ValueType) -> bytes:
    """Return one value of an entity key with its type and length, little-endian.

    Parameters
    ----------
    value
        Text for ``STRING`` and ``BYTES`` (both as UTF-8), a whole number for the others.
    kind
        ``STRING``, ``BYTES``, ``INT32`` or ``INT64``.

    Raises
    ------
    ValueError
        If `kind` cannot be an entity key, or `value` is not of that kind or out of its range.
    """
    if isinstance(value, str):
        if kind is ValueType.STRING or kind is ValueType.BYTES:
            payload = value.encode()
            return _KEY_TYPES[kind] + len(payload).to_bytes(4, "little") + payload
    elif kind is ValueType.INT64:
        return _INT64_KEY + value.to_bytes(8, "little", signed=True)
    elif kind is ValueType.INT32:
        return _INT32_KEY + value.to_bytes(4, "little", signed=True)
    raise ValueError(f"Got a {type(value).__name__}, but expected a key value of type {kind.name}.")


def decode_value(data: bytes, kind: ValueType) -> Value | None:
    """Return the Python value of a serialised ``feast.types.Value``.

    Parameters
    ----------
    data
        The message. Empty, or with ``null_val`` set, it is a null.
    kind
        The type that the value must have.

    Returns
    -------
    Value or None
        ``bytes``, ``str``, ``int``, ``float`` (NaN and infinities as they are) or ``bool``;
        a Unix timestamp is whole seconds; ``None`` is a null.

    Raises
    ------
    OnlineValueError
        If the message is damaged, or has another type than `kind`.
    """
    if not data:
        return None
    tag = TAGS[kind]
    if not data.startswith(tag):
        _check_null(data, kind)
        return None
    if kind in _FIXED:
        layout = _FIXED[kind]
        if len(data) != layout.size + 1:
            raise _damaged(kind)
        return layout.unpack_from(data, 1)[0]  # type: ignore[no-any-return]  # struct is untyped
    number, end = _read_number(data, len(tag), kind)
    if _WIRE_TYPES[kind] == LENGTH_DELIMITED:
        return _decode_text(data, number, end, kind)
    if end != len(data):
        raise _damaged(kind)
    if kind is ValueType.BOOL:
        return number != 0
    value = to_signed(number, VARINT_BITS[kind])
    return None if kind is ValueType.UNIX_TIMESTAMP and value == _NO_TIME else value


def _check_null(data: bytes, kind: ValueType) -> None:
    field, end = _read_number(data, 0, kind)
    if field != NULL_FIELD << 3 | VARINT:
        raise OnlineValueError(f"Got a stored value of another type, but expected {kind.name}.")
    _, end = _read_number(data, end, kind)
    if end != len(data):
        raise _damaged(kind)


def _decode_text(data: bytes, length: int, start: int, kind: ValueType) -> bytes | str:
    if start + length != len(data):
        raise _damaged(kind)
    payload = data[start:]
    if kind in BYTES_TYPES:
        return payload
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise _damaged(kind) from error


def _read_number(data: bytes, start: int, kind: ValueType) -> tuple[int, int]:
    try:
        return read_varint(data, start)
    except IndexError as error:
        raise _damaged(kind) from error


def to_signed(number: int, bits: int) -> int:
    """Read the low `bits` bits of `number` as two's complement, as protobuf does."""
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number


def _damaged(kind: ValueType) -> OnlineValueError:
    return OnlineValueError(f"Got a damaged stored value, but expected one {kind.name}.")
