"""What an instance may hold, and how it is written."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroskew.model.requests.field_types import parse_timestamp
from zeroskew_client import InvalidInputError
from zeroskew_client.instances import encode_instances

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Size(IntEnum):
    BIG = 3


class Carrier(StrEnum):
    UNITED = "UA"


def written(value: object) -> str:
    """Return the JSON text that stands for `value`."""
    body = encode_instances([{"field": value}]).decode()
    prefix, suffix = '{"instances":[{"field":', "}]}"
    assert body.startswith(prefix)
    assert body.endswith(suffix)
    return body[len(prefix) : -len(suffix)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (0, "0"),
        (-(2**63), "-9223372036854775808"),
        (0.1, "0.1"),
        (-0.0, "-0.0"),
        (5e-324, "5e-324"),
        ("é\u0000\u2028\U0001f6eb", '"é\\u0000\u2028\U0001f6eb"'),
        (Size.BIG, "3"),
        (Carrier.UNITED, '"UA"'),
        (np.float64(0.1), "0.1"),
        # The nearest float32 to 0.1, whose exact value these digits tell apart from others.
        (np.float32(0.1), "0.10000000149011612"),
        (np.float16(0.5), "0.5"),
        (np.int8(-3), "-3"),
        (np.uint64(2**64 - 1), "18446744073709551615"),
        (np.bool_(True), "true"),
        (np.str_("UA"), '"UA"'),
        (Decimal("0.1"), "0.1"),
        (Decimal("7"), "7"),
        (Decimal("7.00"), "7"),
        (Decimal("1e20"), "100000000000000000000"),
        (Fraction(1, 4), "0.25"),
        (Fraction(6, 2), "3.0"),
        (datetime(2013, 10, 1, 14, 17, tzinfo=UTC), '"2013-10-01T14:17:00+00:00"'),
        (
            datetime(2013, 10, 1, 10, 17, tzinfo=ZoneInfo("America/New_York")),
            '"2013-10-01T10:17:00-04:00"',
        ),
        # New York's local mean time was 4 h 56 min 2 s behind Greenwich.
        (
            datetime(1880, 1, 1, tzinfo=ZoneInfo("America/New_York")),
            '"1880-01-01T04:56:02+00:00"',
        ),
        (pd.Timestamp("2013-10-01T14:17:00.25Z"), '"2013-10-01T14:17:00.250000+00:00"'),
        ({"view:feature": Decimal("2.5")}, '{"view:feature":2.5}'),
    ],
)
def test_a_value_is_written_as_what_it_is(value: object, text: str) -> None:
    assert written(value) == text


@pytest.mark.parametrize(
    ("value", "got", "expected"),
    [
        (float("nan"), "nan", "a finite number"),
        (float("-inf"), "-inf", "a finite number"),
        (np.float32("nan"), "np.float32(nan)", "a finite number"),
        (Decimal("NaN"), "Decimal('NaN')", "a finite number"),
        (Decimal("sNaN"), "Decimal('sNaN')", "a finite number"),
        (Decimal("Infinity"), "Decimal('Infinity')", "a finite number"),
        (Decimal("1e400"), "Decimal('1E+400')", "a finite number"),
        (Fraction(10**400), "Fraction(1000", "a finite number"),
        (10**400, "1000", "a finite number"),
        pytest.param(10**5000, "a very large number", "a finite number", id="10**5000"),
        (Fraction(1, 3), "Fraction(1, 3)", "a number that JSON says exactly"),
        (Decimal("0.1234567890123456789"), "Decimal(", "0.12345678901234568 is nearest"),
        (Decimal("1e-400"), "Decimal('1E-400')", "0.0 is nearest"),
        (np.longdouble(1) / 3, "np.longdouble(", "a number that JSON says exactly"),
        (np.timedelta64(5, "s"), "np.timedelta64(5,'s')", "a finite number"),
        (np.datetime64("2013-10-01T00"), "np.datetime64(", "time with a UTC offset"),
        (np.array([1.0]), "array([1.])", "a text, number"),
        (1j, "1j", "a text, number"),
        (datetime(2013, 10, 1), "datetime.datetime(2013", "a time with a UTC offset"),  # noqa: DTZ001
        (pd.NaT, "NaT", "a time with a UTC offset"),
        (
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-1, seconds=-1))),
            "datetime.datetime(9999",
            "a time in the years 1 to 9999",
        ),
        (date(2013, 10, 1), "datetime.date(2013, 10, 1)", "time with a UTC offset"),
        ("\ud800", "'\\ud800'", "text without lone surrogates"),
        (b"UA", "b'UA'", "a text, number"),
        ([1], "[1]", "a text, number"),
        (UUID(int=0), "UUID(", "a text, number"),
        (object, "<class 'object'>", "a text, number"),
    ],
)
def test_what_has_no_exact_meaning_is_refused(value: Any, got: str, expected: str) -> None:
    instances = [{"a/b~c": 1}, {"a/b~c": value}]
    with pytest.raises(InvalidInputError) as caught:
        encode_instances(instances, 500)
    message = str(caught.value)
    assert message.startswith(f"Got {got}")
    assert " at /instances/501/a~1b~0c, but expected " in message
    assert expected in message
    assert len(message) < 250


@pytest.mark.parametrize(
    ("instances", "message"),
    [
        ([], "Got no instances, but expected at least one."),
        ([["UA"]], "Got ['UA'] at /instances/0, but expected a mapping"),
        ([{1: 2}], "Got 1 at /instances/0, but expected a text as the name"),
        ([{"\udcff": 2}], "Got '\\udcff' at /instances/0, but expected a text as the name"),
        ([{"overrides": {"v:f": {}}}], "Got {} at /instances/0/overrides/v:f, but"),
        ([{"overrides": {"v:f": float("nan")}}], "Got nan at /instances/0/overrides/v:f, but"),
    ],
)
def test_what_is_no_instance_is_refused(instances: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        encode_instances(instances)
    assert str(caught.value).startswith(message)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
names = st.text(st.characters(exclude_categories=["Cs"]))
fields = st.dictionaries(names, scalars | st.dictionaries(names, scalars, max_size=3), max_size=4)


@given(st.lists(fields, min_size=1, max_size=4))
def test_what_is_written_reads_as_it_was(instances: list[Mapping[str, Any]]) -> None:
    read = json.loads(encode_instances(instances))
    assert read == {"instances": instances}
    # Equality takes 1, 1.0 and true for one another; their texts do not.
    assert repr(read["instances"]) == repr(instances)


@given(
    st.datetimes(
        datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        datetime(9998, 1, 1),  # noqa: DTZ001
        timezones=st.timezones()
        | st.timedeltas(-timedelta(hours=23), timedelta(hours=23)).map(timezone),
    )
)
def test_the_service_reads_the_instant_that_was_written(value: datetime) -> None:
    assert parse_timestamp(json.loads(written(value))) == (value - EPOCH).total_seconds()


@given(st.decimals())
def test_a_decimal_is_written_exactly_or_refused(value: Decimal) -> None:
    try:
        text = written(value)
    except InvalidInputError:
        assert not value.is_finite() or Decimal(repr(float(value))) != value
    else:
        assert Decimal(text) == value
        assert isinstance(json.loads(text), int) is (value == value.to_integral_value())
