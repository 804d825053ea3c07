"""JSON that two readers could understand differently is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroskew.contract.errors.service import MalformedJsonError
from zeroskew.model.requests.strict_json import parse_strict_json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@given(JSON)
def test_json_comes_back(value: object) -> None:
    assert parse_strict_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=30))
def test_any_bytes_are_a_value_or_refused(body: bytes) -> None:
    try:
        value = parse_strict_json(body)
    except MalformedJsonError:
        return
    assert value == json.loads(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "line 1, column 0"),
        (b"{} {}", "line 1, column 4"),
        (b"[NaN]", "line 1, column 2"),
        (b"[-Infinity]", "line 1, column 3"),
        (b"\xef\xbb\xbf{}", "line 1, column 1"),
        (b'"\xff"', "line 1, column 2"),
        (b'{"a": "\\ud800"}', "line 1, column"),
        (b'{"\\udfff": 1}', "line 1, column"),
        (b"[" * 100_000, "nested deeper than 200 lists and objects at line 1, column 202"),
        (b"[" * 300 + b"]" * 300, "nested deeper than 200 lists and objects at line 1, column 202"),
        (b"[" + b"1" * 5000 + b"]", "line 1, column"),
        (b'{"a": 1, "b": 2, "a": 3}', 'the name "a" twice'),
        (b'[{"\\u0061": 1, "a": 1}]', 'the name "a" twice'),
        (json.dumps({str(n): 1 for n in range(1001)}).encode(), "an object of 1001 names"),
    ],
)
def test_other_text_is_refused_with_its_place(body: bytes, message: str) -> None:
    with pytest.raises(MalformedJsonError, match=message):
        parse_strict_json(body)
