"""Lists, maps and structs: Feast's own bytes, both ways, and what is refused of them."""

import base64
import contextlib
from typing import Any

import pytest
from feast.protos.feast.types import Value_pb2 as protos
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.value_type import ValueType as FeastType
from hypothesis import given
from hypothesis import strategies as st

from api.feast.column_values import RefusedFields, parse_column
from zeroskew.contract.errors.service import OnlineValueError
from zeroskew.online.values.decode import ValueType
from zeroskew.online.values.encode_nested import encode_feature
from zeroskew.online.values.nested_values import NestedType, decode_feature

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
ELEMENTS: dict[str, Any] = {
    "BYTES_LIST": st.binary(max_size=5),
    "STRING_LIST": TEXT,
    "INT32_LIST": st.integers(-(2**31), 2**31 - 1),
    "INT64_LIST": INT64,
    "DOUBLE_LIST": st.floats(allow_nan=False),
    "FLOAT_LIST": st.floats(allow_nan=False, width=32),
    "BOOL_LIST": st.booleans(),
    "UNIX_TIMESTAMP_LIST": INT64,
    "JSON_LIST": st.just('{"a": 1}'),
    "UUID_LIST": st.uuids().map(str),
    "TIME_UUID_LIST": st.uuids().map(str),
    "DECIMAL_LIST": st.just("-1.50"),
}
SCALARS = st.one_of(st.none(), INT64, st.floats(allow_nan=False), TEXT, st.booleans())
MAPS = st.dictionaries(
    TEXT,
    st.one_of(
        SCALARS,
        st.lists(INT64, min_size=1, max_size=3),
        st.lists(TEXT, min_size=1, max_size=3),
        st.dictionaries(TEXT, SCALARS, max_size=3),
        st.lists(st.dictionaries(TEXT, SCALARS, max_size=2), min_size=1, max_size=2),
    ),
    max_size=4,
)


def feast_message(kind: NestedType, value: list[Any]) -> Value:
    """Return Feast's own message of a list."""
    message = Value()
    field = f"{kind.name.lower()[:-5]}_list_val"
    getattr(message, field).SetInParent()
    getattr(message, field).val.extend(value)
    return message


@pytest.mark.parametrize("name", ELEMENTS)
@given(data=st.data())
def test_lists_have_feasts_bytes_both_ways(name: str, data: st.DataObject) -> None:
    kind = NestedType[name]
    value = data.draw(st.lists(ELEMENTS[name], max_size=6))
    expected = feast_message(kind, value).SerializeToString()
    assert encode_feature(value, kind) == expected
    assert decode_feature(expected, kind) == value


@pytest.mark.parametrize("kind", [NestedType.MAP, NestedType.STRUCT])
@given(value=MAPS)
def test_maps_are_what_feast_makes_of_them(kind: NestedType, value: dict[str, Any]) -> None:
    (expected,) = python_values_to_proto_values([value], FeastType[kind.name])
    read = Value()
    read.ParseFromString(encode_feature(value, kind))
    assert read == expected
    assert decode_feature(expected.SerializeToString(), kind) == value


@given(value=st.lists(MAPS, max_size=3))
def test_lists_of_maps_are_what_feast_makes_of_them(value: list[dict[str, Any]]) -> None:
    (expected,) = python_values_to_proto_values([value], FeastType.MAP_LIST)
    read = Value()
    read.ParseFromString(encode_feature(value, NestedType.MAP_LIST))
    assert read == expected
    assert decode_feature(expected.SerializeToString(), NestedType.MAP_LIST) == value


def test_nulls_are_nulls_and_numbers_need_not_be_packed() -> None:
    for kind in NestedType:
        assert encode_feature(None, kind) == b""
        assert decode_feature(b"", kind) is None
        explicit = Value(null_val=protos.NULL).SerializeToString()
        assert decode_feature(explicit, kind) is None
    assert decode_feature(b"\x72\x04\x08\x01\x08\x02", NestedType.INT64_LIST) == [1, 2]


@given(data=st.binary(max_size=40), kind=st.sampled_from(NestedType))
def test_any_bytes_are_a_value_or_refused(data: bytes, kind: NestedType) -> None:
    with contextlib.suppress(OnlineValueError):
        decode_feature(data, kind)


def test_the_deepest_map_is_one_that_feast_reads() -> None:
    text = '{"a":' * 32 + "1" + "}" * 32
    for kind, value in ((NestedType.MAP, text), (NestedType.MAP_LIST, [text])):
        findings = RefusedFields()
        [parsed] = parse_column([value], kind, "/df/m", findings)
        findings.raise_any()
        stored = encode_feature(parsed, kind)
        Value().ParseFromString(stored)
        assert decode_feature(stored, kind) == parsed


REFUSED: list[tuple[NestedType | ValueType, Any, str]] = [
    (NestedType.INT64_LIST, 1, "a list"),
    (NestedType.INT64_LIST, [1, None], "without nulls"),
    (NestedType.INT64_LIST, [1.5], "64 bits"),
    (NestedType.INT32_LIST, [2**31], "32 bits"),
    (NestedType.STRING_LIST, ["a", "\0"], "NUL"),
    (NestedType.BYTES_LIST, ["!"], "base64"),
    (NestedType.MAP, [1], "an object"),
    (NestedType.MAP, "{", "an object"),
    (NestedType.MAP, {"a": 2**63}, "an object"),
    (NestedType.MAP, {"a": [1, "x"]}, "an object"),
    (NestedType.STRUCT, "[]", "an object"),
    (NestedType.MAP, {"a": [0.5, 2**53 + 1]}, "values that Feast has"),
    (NestedType.MAP, '{"a": 1, "a": 2}', "names once"),
    (NestedType.MAP, r'{"a": "\ud800"}', "values that Feast has"),
    (NestedType.MAP, r'{"a": ["\ud800"]}', "values that Feast has"),
    (NestedType.STRUCT, r'{"\ud800": 1}', "values that Feast has"),
    (NestedType.MAP, '{"a":' * 33 + "1" + "}" * 33, "at most 32 levels"),
    (NestedType.MAP_LIST, ['{"a":' * 240 + "1" + "}" * 240], "at most 32 levels"),
    (NestedType.MAP, '{"a":' + "[" * 32 + "]" * 32 + "}", "at most 32 levels"),
    (NestedType.DOUBLE_LIST, [2**53 + 1], "that float64 holds"),
    (ValueType.DOUBLE, 2**53 + 1, "that float64 holds"),
    (NestedType.MAP_LIST, {"a": 1}, "a list of objects"),
    (NestedType.STRUCT_LIST, [1], "a list of objects"),
]


@pytest.mark.parametrize(("kind", "value", "said"), REFUSED)
def test_what_is_no_such_value_is_refused_by_place(kind: NestedType, value: Any, said: str) -> None:
    findings = RefusedFields()
    parse_column([None, value], kind, "/df/x", findings)
    with pytest.raises(Exception, match=f"(?s)/df/x/1.*{said}"):
        findings.raise_any()


def test_a_map_may_come_as_the_text_that_feasts_client_sends() -> None:
    findings = RefusedFields()
    assert parse_column(['{"a": [1]}', {"b": None}], NestedType.STRUCT, "", findings) == [
        {"a": [1]},
        {"b": None},
    ]
    text = base64.b64encode(b"\0").decode()
    assert parse_column([[text]], NestedType.BYTES_LIST, "", findings) == [[b"\0"]]
    assert parse_column([1], ValueType.INT64, "", findings) == [1]
    assert not findings.are_any
