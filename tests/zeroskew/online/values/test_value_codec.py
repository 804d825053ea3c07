"""The codec against Feast's own: entity keys byte for byte, values whatever they are."""

import math
import struct

import numpy as np
import pytest
from feast import ValueType as FeastValueType
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types import Value_pb2
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from hypothesis import example, given
from hypothesis import strategies as st

from zeroskew.contract.errors.service import OnlineValueError
from zeroskew.online.values.decode import (
    TAGS,
    ValueType,
    decode_value,
    encode_key_prefix,
    encode_key_value,
)

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES = {
    ValueType.BYTES: st.binary(max_size=300),
    ValueType.STRING: st.text(max_size=300),
    ValueType.INT32: INT32,
    ValueType.INT64: INT64,
    ValueType.DOUBLE: st.floats(),
    ValueType.FLOAT: st.floats(width=32),
    ValueType.BOOL: st.booleans(),
    ValueType.UNIX_TIMESTAMP: st.integers(-(2**63) + 1, 2**63 - 1),
    ValueType.PDF_BYTES: st.binary(max_size=300),
    ValueType.IMAGE_BYTES: st.binary(max_size=300),
    ValueType.JSON: st.text(max_size=300),
    ValueType.UUID: st.text(max_size=40),
    ValueType.TIME_UUID: st.text(max_size=40),
    ValueType.DECIMAL: st.text(max_size=40),
}
# Documents and images are stored as plain bytes.
PROTO_FIELDS = {ValueType.PDF_BYTES: "bytes_val", ValueType.IMAGE_BYTES: "bytes_val"}
KEY_VALUES = {
    ValueType.STRING: st.text(max_size=300),
    ValueType.BYTES: st.text(max_size=300),
    ValueType.INT32: INT32,
    ValueType.INT64: INT64,
}
TYPED_VALUES = st.sampled_from(list(VALUES)).flatmap(
    lambda kind: st.tuples(st.just(kind), VALUES[kind])
)
KEYS = st.dictionaries(
    st.text(min_size=1, max_size=20),
    st.sampled_from(list(KEY_VALUES)).flatmap(
        lambda kind: st.tuples(st.just(kind), KEY_VALUES[kind])
    ),
    min_size=1,
    max_size=4,
)


def proto(kind: ValueType, value: object) -> Value_pb2.Value:
    message = Value_pb2.Value()
    setattr(message, PROTO_FIELDS.get(kind, f"{kind.name.lower()}_val"), value)
    return message


@given(KEYS)
@example({"origin": (ValueType.STRING, "EWR"), "dest": (ValueType.STRING, "IAH")})
def test_entity_keys_are_feasts_bytes(keys: dict[str, tuple[ValueType, str | int]]) -> None:
    expected = serialize_entity_key(
        EntityKey(
            join_keys=list(keys),
            entity_values=[
                proto(kind, value.encode() if kind is ValueType.BYTES else value)  # type: ignore[union-attr]  # text
                for kind, value in keys.values()
            ],
        ),
        entity_key_serialization_version=3,
    )
    names = sorted(keys)
    parts = [encode_key_value(keys[name][1], keys[name][0]) for name in names]
    assert encode_key_prefix(names) + b"".join(parts) == expected


@given(TYPED_VALUES)
@example((ValueType.DOUBLE, -0.0))
@example((ValueType.INT32, -1))
@example((ValueType.STRING, ""))
def test_values_come_back_as_feast_wrote_them(typed: tuple[ValueType, object]) -> None:
    kind, value = typed
    decoded = decode_value(proto(kind, value).SerializeToString(), kind)
    assert type(decoded) is type(value)
    if isinstance(value, float) and isinstance(decoded, float):
        assert struct.pack("<d", decoded) == struct.pack("<d", value) or math.isnan(value)
        assert math.isnan(decoded) == math.isnan(value)
    else:
        assert decoded == value


@pytest.mark.parametrize("kind", ValueType)
def test_both_writings_of_null_are_none(kind: ValueType) -> None:
    assert decode_value(Value_pb2.Value().SerializeToString(), kind) is None
    null = Value_pb2.Value(null_val=Value_pb2.NULL)
    assert decode_value(null.SerializeToString(), kind) is None


def test_the_null_time_that_feast_writes_is_none() -> None:
    times = np.array(["2013-10-01", "NaT"], "datetime64[ns]")
    _, written = python_values_to_proto_values(times, FeastValueType.UNIX_TIMESTAMP)
    assert written.unix_timestamp_val == -(2**63)
    assert feast_value_type_to_python_type(written) is None
    assert decode_value(written.SerializeToString(), ValueType.UNIX_TIMESTAMP) is None
    as_number = Value_pb2.Value(int64_val=-(2**63))
    assert decode_value(as_number.SerializeToString(), ValueType.INT64) == -(2**63)


@given(TYPED_VALUES, st.sampled_from(ValueType))
def test_a_value_of_another_type_is_refused(
    typed: tuple[ValueType, object], expected: ValueType
) -> None:
    kind, value = typed
    data = proto(kind, value).SerializeToString()
    if TAGS[kind] != TAGS[expected]:
        with pytest.raises(OnlineValueError, match=f"but expected {expected.name}"):
            decode_value(data, expected)


@pytest.mark.parametrize(
    "value",
    [
        Value_pb2.Value(float_list_val=Value_pb2.FloatList(val=[1.0])),
        Value_pb2.Value(string_list_val=Value_pb2.StringList(val=["a"])),
        Value_pb2.Value(struct_val=Value_pb2.Map()),
        Value_pb2.Value(zoned_timestamp_val=Value_pb2.ZonedTimestamp()),
    ],
)
@pytest.mark.parametrize("kind", ValueType)
def test_lists_and_the_like_are_refused(value: Value_pb2.Value, kind: ValueType) -> None:
    with pytest.raises(OnlineValueError, match="another type"):
        decode_value(value.SerializeToString(), kind)


@given(TYPED_VALUES, st.data())
def test_a_cut_value_is_refused_or_null(
    typed: tuple[ValueType, object], data: st.DataObject
) -> None:
    kind, value = typed
    whole = proto(kind, value).SerializeToString()
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    with pytest.raises(OnlineValueError):
        decode_value(cut, kind)


@given(st.binary(max_size=40), st.sampled_from(ValueType))
def test_any_bytes_are_decoded_or_refused(data: bytes, kind: ValueType) -> None:
    try:
        decoded = decode_value(data, kind)
    except OnlineValueError:
        return
    assert decoded is None or decode_value(proto(kind, decoded).SerializeToString(), kind) in (
        decoded,
        pytest.approx(decoded, nan_ok=True) if isinstance(decoded, float) else decoded,
    )


@pytest.mark.parametrize(
    ("value", "kind"), [(1, ValueType.STRING), ("1", ValueType.INT64), (1, ValueType.DOUBLE)]
)
def test_a_key_value_of_another_type_is_refused(value: str | int, kind: ValueType) -> None:
    with pytest.raises(ValueError, match="expected a"):
        encode_key_value(value, kind)
