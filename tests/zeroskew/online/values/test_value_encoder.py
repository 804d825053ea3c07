"""Values and event times in the bytes that Feast's own messages have."""

from datetime import UTC, datetime

import pytest
from feast.infra.online_stores.helpers import extract_text_and_num
from feast.protos.feast.types.Value_pb2 import Value as FeastValue
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st

from zeroskew.contract.time.epoch import EPOCH, to_epoch_us
from zeroskew.online.redis.timestamps import decode_timestamp
from zeroskew.online.values.decode import BYTES_TYPES, TEXT_TYPES, Value, ValueType, decode_value
from zeroskew.online.values.encode import describe_value, encode_timestamp, encode_value

INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES: dict[ValueType, st.SearchStrategy[Value]] = {
    **dict.fromkeys(TEXT_TYPES, st.text(max_size=300)),
    **dict.fromkeys(BYTES_TYPES, st.binary(max_size=300)),
    ValueType.INT32: st.integers(-(2**31), 2**31 - 1),
    ValueType.INT64: INT64,
    # The least number is Feast's null.
    ValueType.UNIX_TIMESTAMP: st.integers(1 - 2**63, 2**63 - 1),
    ValueType.DOUBLE: st.floats(),
    ValueType.FLOAT: st.floats(width=32),
    ValueType.BOOL: st.booleans(),
}
TYPED = st.sampled_from(list(ValueType)).flatmap(
    lambda kind: st.tuples(st.just(kind), VALUES[kind])
)


def feast_value(value: Value, kind: ValueType) -> FeastValue:
    field = "bytes_val" if kind in BYTES_TYPES else f"{kind.name.lower()}_val"
    return FeastValue(**{field: value})  # type: ignore[arg-type]  # one field of its type


@given(TYPED)
def test_a_value_has_the_bytes_that_feast_writes(typed: tuple[ValueType, Value]) -> None:
    kind, value = typed
    encoded = encode_value(value, kind)
    assert encoded == feast_value(value, kind).SerializeToString()
    assert repr(decode_value(encoded, kind)) == repr(value)


@given(TYPED)
def test_the_text_and_number_beside_a_value_are_feasts(typed: tuple[ValueType, Value]) -> None:
    kind, value = typed
    expected = extract_text_and_num(feast_value(value, kind), True)
    assert repr(describe_value(value, kind)) == repr(expected)


@pytest.mark.parametrize("kind", list(ValueType))
def test_a_null_is_the_empty_message(kind: ValueType) -> None:
    assert encode_value(None, kind) == FeastValue().SerializeToString() == b""
    assert describe_value(None, kind) == (None, None)


@given(st.datetimes(timezones=st.just(UTC)))
@example(datetime(1, 1, 1, tzinfo=UTC))
@example(datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))
@example(EPOCH)
@example(datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC))
def test_an_event_time_has_the_bytes_that_feast_writes(instant: datetime) -> None:
    event_us = to_epoch_us(instant)
    expected = Timestamp()
    expected.FromDatetime(instant)
    assert encode_timestamp(event_us) == expected.SerializeToString()
    assert decode_timestamp(encode_timestamp(event_us)) == event_us
