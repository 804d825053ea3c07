"""Feast's bytes for values and event times: the inverse of `zeroskew.online.values.decode`."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from zeroskew.online.values.decode import TAGS, Value, ValueType
from zeroskew.online.values.nested_values import FeatureType

__all__ = [
    "PAYLOADS",
    "describe_value",
    "encode_text",
    "encode_timestamp",
    "encode_value",
    "encode_varint",
    "round_to_float32",
]

_FLOAT: Final = struct.Struct("<f")
_DOUBLE: Final = struct.Struct("<d")
_UINT64: Final = (1 << 64) - 1


def encode_value(value: Value | None, kind: ValueType) -> bytes:
    """Return a value as a serialised ``feast.types.Value``; a null is the empty message.

    Parameters
    ----------
    value
        Of the Python type that `zeroskew.online.values.decode.decode_value` gives for `kind`.
    kind
        Its type.

    Examples
    --------
    >>> encode_value(-1, ValueType.INT32).hex(), encode_value("UA", ValueType.STRING).hex()
    ('18ffffffffffffffffff01', '12025541')
    """
    return b"" if value is None else TAGS[kind] + PAYLOADS[kind](value)


def round_to_float32(value: float) -> float:
    """Return the nearest float32; infinite where that is beyond its range.

    >>> round_to_float32(0.1), round_to_float32(1e39)
    (0.10000000149011612, inf)
    """
    try:
        return float(_FLOAT.unpack(_FLOAT.pack(value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def describe_value(value: Any, kind: FeatureType) -> tuple[str | None, float | None]:
    """Return the text and the number that Feast's SQL stores keep beside a value for searches."""
    if value is None or kind is ValueType.STRING:
        return (value if isinstance(value, str) else None), None
    if kind in _NUMBERS:
        assert isinstance(value, int | float)
        return str(value), float(value)
    return None, None


_NUMBERS: Final[frozenset[FeatureType]] = frozenset(
    {ValueType.INT32, ValueType.INT64, ValueType.FLOAT, ValueType.DOUBLE, ValueType.BOOL}
)


def encode_timestamp(event_us: int) -> bytes:
    """Return microseconds since the Unix epoch as a serialised ``google.protobuf.Timestamp``.

    >>> encode_timestamp(2_000_001).hex()
    '080210e807'
    """
    seconds, microseconds = divmod(event_us, 1_000_000)
    encoded = b"\x08" + encode_varint(seconds) if seconds else b""
    return encoded + b"\x10" + encode_varint(microseconds * 1000) if microseconds else encoded


def encode_varint(number: int) -> bytes:
    """Return a number of at most 64 bits as a varint, a negative one in two's complement."""
    number &= _UINT64
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def encode_text(value: str | bytes) -> bytes:
    """Return text, bytes or a message behind its length."""
    payload = value.encode() if isinstance(value, str) else value
    return encode_varint(len(payload)) + payload


PAYLOADS: Final[dict[ValueType, Callable[..., bytes]]] = {
    **dict.fromkeys(ValueType, encode_text),
    **dict.fromkeys(
        (ValueType.INT32, ValueType.INT64, ValueType.BOOL, ValueType.UNIX_TIMESTAMP),
        encode_varint,
    ),
    ValueType.FLOAT: _FLOAT.pack,
    ValueType.DOUBLE: _DOUBLE.pack,
}
"""What makes the bytes behind a value's tag, by type."""
