"""Event times against protobuf's own decoder."""

from datetime import UTC, datetime

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st

from zeroskew.contract.errors.service import OnlineValueError
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.online.redis.timestamps import EventTimes, decode_timestamp

FIRST_SECOND = int(datetime(1, 1, 1, tzinfo=UTC).timestamp())
LAST_SECOND = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


@given(st.integers(FIRST_SECOND, LAST_SECOND), st.integers(0, 999_999_999))
@example(FIRST_SECOND, 0)
@example(LAST_SECOND, 999_999_999)
@example(-1, 999_999_999)
@example(0, 0)
def test_whatever_protobuf_writes_is_read(seconds: int, nanos: int) -> None:
    raw = Timestamp(seconds=seconds, nanos=nanos).SerializeToString()
    assert decode_timestamp(raw) == seconds * 1_000_000 + nanos // 1000


@given(
    st.binary(max_size=24)
    | st.builds(lambda a, b: b"\x08" + a + b"\x10" + b, *[st.binary(max_size=11)] * 2)
)
@example(b"\x08" + b"\xff" * 9 + b"\x02")
@example(b"\x08" + b"\xff" * 10 + b"\x01")
@example(b"\x08\x80\x00")
@example(b"\x08")
@example(b"\x10\x01\x08\x01")
def test_damage_is_refused_or_read_as_protobuf_reads_it(raw: bytes) -> None:
    try:
        event_us = decode_timestamp(raw)
    except OnlineValueError:
        return
    parsed = Timestamp.FromString(raw)
    assert event_us == parsed.seconds * 1_000_000 + parsed.nanos // 1000


@pytest.mark.parametrize(
    "raw",
    [
        Timestamp(seconds=LAST_SECOND + 1).SerializeToString(),
        Timestamp(seconds=FIRST_SECOND - 1).SerializeToString(),
        Timestamp(nanos=1_000_000_000).SerializeToString(),
        Timestamp(nanos=-1).SerializeToString(),
        b"2013-10-01",
        b"\x08\x01\x00",
        b"\x08\x80",
    ],
)
def test_an_impossible_time_is_refused(raw: bytes) -> None:
    with pytest.raises(OnlineValueError, match=r"^Got an event time .* but expected what Feast"):
        decode_timestamp(raw)


def test_garbage_that_protobuf_refuses_is_refused() -> None:
    raw = b"\x08" + b"\xff" * 11
    with pytest.raises(DecodeError):
        Timestamp.FromString(raw)
    with pytest.raises(OnlineValueError):
        decode_timestamp(raw)


def test_what_is_remembered_is_bounded_and_stays_right() -> None:
    times = EventTimes(max_size=10)
    for _ in range(2):
        for seconds in range(100):
            raw = Timestamp(seconds=seconds).SerializeToString()
            assert times[raw] == seconds * 1_000_000
            assert times[None] == NEVER_US
            assert len(times) <= 11
