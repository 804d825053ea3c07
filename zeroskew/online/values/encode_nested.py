"""Feast's bytes for lists, maps and structs: the inverse of `nested_values`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from zeroskew.contract.number_bounds import INT64
from zeroskew.online.values.decode import ValueType
from zeroskew.online.values.encode import PAYLOADS, encode_text, encode_value, encode_varint
from zeroskew.online.values.nested_values import ELEMENTS, MAPS, FeatureType, NestedType
from zeroskew.online.values.protobuf_fields import LENGTH_DELIMITED

__all__ = ["encode_feature", "infer_type"]

_FIRST_FIELD: Final = b"\x0a"
_SECOND_FIELD: Final = b"\x12"
_PACKED: Final = frozenset(
    {
        ValueType.INT32,
        ValueType.INT64,
        ValueType.DOUBLE,
        ValueType.FLOAT,
        ValueType.BOOL,
        ValueType.UNIX_TIMESTAMP,
    }
)
_INFERRED: Final[dict[type, ValueType]] = {
    bool: ValueType.BOOL,
    int: ValueType.INT64,
    float: ValueType.DOUBLE,
    str: ValueType.STRING,
}


def encode_feature(value: Any, kind: FeatureType) -> bytes:
    """Return a value as a serialised ``feast.types.Value``; a null is the empty message.

    Parameters
    ----------
    value
        Of the Python type that `decode_feature` gives for `kind`.
    kind
        Its type.

    Examples
    --------
    >>> encode_feature([1, -1], NestedType.INT64_LIST).hex()
    '720d0a0b01ffffffffffffffffff01'
    """
    if isinstance(kind, ValueType):
        return encode_value(value, kind)
    return b"" if value is None else _message(kind, _encode(value, kind))


def infer_type(value: Any) -> FeatureType:
    """Return the type that Feast takes a value inside a map for.

    Raises
    ------
    ValueError
        If it is none, or a list of values of several types, or of fractions beside a whole number
        that float64 does not hold.
    """
    if isinstance(value, dict):
        return NestedType.MAP
    if not isinstance(value, list):
        if type(value) is int and value not in INT64:
            raise ValueError(value)
        return _INFERRED[type(value)]
    kinds = {infer_type(one) for one in value} or {ValueType.STRING}
    if kinds == {ValueType.INT64, ValueType.DOUBLE}:
        if any(float(one) != one for one in value if one == one):  # But NaN, all equal themselves.
            raise ValueError(value)
        kinds = {ValueType.DOUBLE}
    [kind] = kinds
    return NestedType[f"{kind.name}_LIST"]


def _encode(value: Any, kind: FeatureType) -> bytes:
    if kind in MAPS:
        return _encode_map(value)
    if kind in ELEMENTS:
        return _encode_list(value, ELEMENTS[NestedType(kind)])
    return b"".join(_FIRST_FIELD + encode_text(_encode_map(one)) for one in value)


def _encode_list(values: list[Any], element: ValueType) -> bytes:
    encode: Callable[[Any], bytes] = PAYLOADS[element]
    if element not in _PACKED:
        return b"".join(_FIRST_FIELD + encode(one) for one in values)
    return _FIRST_FIELD + encode_text(b"".join(map(encode, values))) if values else b""


def _encode_map(value: Mapping[str, Any]) -> bytes:
    return b"".join(
        _FIRST_FIELD
        + encode_text(_FIRST_FIELD + encode_text(key) + _SECOND_FIELD + encode_text(_any(one)))
        for key, one in value.items()
    )


def _any(value: Any) -> bytes:
    return b"" if value is None else encode_feature(value, infer_type(value))


def _message(kind: NestedType, content: bytes) -> bytes:
    return encode_varint(kind << 3 | LENGTH_DELIMITED) + encode_text(content)
