"""Binary tensors: bytes written by hand, and any bytes at all: a value or a clear refusal."""

import math
import struct
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.v2.binary_tensors import (
    encode_bytes,
    read_binary_elements,
    read_byte_strings,
    split_blobs,
    split_body,
)
from api.v2.tensors import NUMPY_TYPES
from zeroskew.contract.errors.service import InvalidTensorsError

T = TypeVar("T")
UA_AA = b"\x02\x00\x00\x00UA\x02\x00\x00\x00AA"


def attempt(read: Callable[[], T]) -> T | None:
    """Return what `read` returns, or ``None`` where it refuses and says what was expected."""
    try:
        return read()
    except InvalidTensorsError as refusal:
        error = str(refusal)
    assert "expected" in error
    return None


def read(blob: bytes, datatype: str, n_elements: int) -> Any:
    elements = read_binary_elements(
        memoryview(blob), name="x", datatype=datatype, n_elements=n_elements
    )
    return elements.tolist() if isinstance(elements, np.ndarray) else elements


@pytest.mark.parametrize(
    ("datatype", "blob", "expected"),
    [
        ("BOOL", b"\x01\x00", [True, False]),
        ("INT8", b"\xff\x01", [-1, 1]),
        ("INT16", b"\x00\x80\x01\x00", [-32768, 1]),
        ("INT32", b"\xfe\xff\xff\xff\x00\x01\x00\x00", [-2, 256]),
        ("INT64", b"\x01" + bytes(7) + b"\xff" * 8, [1, -1]),
        ("UINT8", b"\xff\x00", [255, 0]),
        ("UINT16", b"\xff\xff\x00\x01", [65535, 256]),
        ("UINT32", b"\xff\xff\xff\xff\x01\x00\x00\x00", [4294967295, 1]),
        ("FP16", b"\x00\x3c\x00\xc0", [1.0, -2.0]),
        ("FP32", b"\x00\x00\x80\x3f\x00\x00\x80\x7f", [1.0, math.inf]),
        ("FP64", bytes(6) + b"\xf0\x3f" + bytes(7) + b"\x80", [1.0, -0.0]),
        ("BYTES", UA_AA, ["UA", "AA"]),
        ("BYTES", b"\x02\x00\x00\x00\xc3\xbc\x00\x00\x00\x00", ["ü", ""]),
    ],
)
def test_elements_are_little_endian(datatype: str, blob: bytes, expected: list[Any]) -> None:
    assert read(blob, datatype, 2) == expected


def test_a_tensor_is_a_copy_with_aligned_memory() -> None:
    body = bytearray(b"{" + struct.pack("<2f", 1.5, 2.5))
    elements = read_binary_elements(memoryview(body)[1:], name="x", datatype="FP32", n_elements=2)
    body[1:] = bytes(8)
    assert isinstance(elements, np.ndarray)
    assert elements.flags.aligned
    assert elements.tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("datatype", "blob", "message"),
    [
        ("FP32", bytes(7), 'Got 7 bytes for input "x", but expected 8'),
        ("FP32", bytes(9), 'Got 9 bytes for input "x", but expected 8'),
        ("INT64", b"", 'Got 0 bytes for input "x", but expected 16'),
        ("BOOL", b"\x01\x02", 'Got the byte 2 in input "x", but expected 0 or 1'),
        ("BYTES", b"", 'Got 0 elements and 0 more bytes for input "x"'),
        ("BYTES", UA_AA[:6], 'Got 1 elements and 0 more bytes for input "x"'),
        ("BYTES", UA_AA + b"\x00", 'Got 2 elements and 1 more bytes for input "x"'),
        ("BYTES", UA_AA[:9], 'Got 3 bytes for element 1 of input "x", but expected 4'),
        ("BYTES", UA_AA[:-1], 'Got 5 bytes for element 1 of input "x", but expected 6'),
        ("BYTES", b"\xff\xff\xff\xffUA", 'Got 6 bytes for element 0 of input "x"'),
        ("BYTES", UA_AA[:-1] + b"\xff", 'Got bytes as element 1 of input "x"'),
        ("BYTES", b"\x03\x00\x00\x00\xed\xa0\x80" + bytes(4), 'element 0 of input "x"'),
    ],
)
def test_bytes_that_are_not_the_tensor_are_refused(
    datatype: str, blob: bytes, message: str
) -> None:
    with pytest.raises(InvalidTensorsError) as caught:
        read(blob, datatype, 2)
    assert message in str(caught.value)
    assert "expected" in str(caught.value)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
def test_text_comes_back(texts: list[str]) -> None:
    assert read(encode_bytes(texts), "BYTES", len(texts)) == texts


@given(st.sampled_from(sorted(NUMPY_TYPES)), st.binary(max_size=64), st.integers(0, 40))
def test_any_bytes_are_the_elements_or_refused(datatype: str, blob: bytes, count: int) -> None:
    elements = attempt(
        lambda: read_binary_elements(
            memoryview(blob), name="x", datatype=datatype, n_elements=count
        )
    )
    if elements is not None:
        assert isinstance(elements, np.ndarray)
        assert len(elements) == count
        assert elements.tobytes() == blob


def length_then_text() -> st.SearchStrategy[bytes]:
    """Return a length that fits, or does not, before some bytes."""
    length = st.integers(0, 12) | st.integers(0, 2**32 - 1)
    return st.builds(lambda n, text: struct.pack("<I", n) + text, length, st.binary(max_size=12))


@given(
    st.binary(max_size=40) | st.lists(length_then_text(), max_size=4).map(b"".join),
    st.integers(0, 6),
    st.binary(max_size=8),
)
def test_strings_end_where_the_blob_does(blob: bytes, count: int, beyond: bytes) -> None:
    inside = memoryview(blob + beyond)[: len(blob)]
    strings = attempt(lambda: read_byte_strings(inside, name="x", n_elements=count))
    if strings is not None:
        # No byte of what lies beyond is read, and none of the blob is left over.
        assert b"".join(struct.pack("<I", len(text)) + text for text in strings) == blob
        assert len(strings) == count


@given(st.binary(max_size=30), st.none() | st.text(max_size=4) | st.integers(0, 40).map(str))
def test_a_body_is_split_into_all_its_bytes(body: bytes, header: str | None) -> None:
    parts = attempt(lambda: split_body(body, header))
    if parts is not None:
        document, rest = parts
        assert document + rest == body
        assert header is None or len(document) == int(header)


@pytest.mark.parametrize(
    "header", ["-1", "+1", "1.0", "", " 1", "0x1", "٣", "4", "9" * 5000, "1e0", "1_0"]
)
def test_a_length_that_the_body_does_not_have_is_refused(header: str) -> None:
    with pytest.raises(InvalidTensorsError, match="at most 3, the length of the body"):
        split_body(b"{}a", header)


@given(st.binary(max_size=30), st.lists(st.integers(0, 12) | st.just(2**70), max_size=5))
def test_blobs_are_all_of_the_rest_or_refused(rest: bytes, sizes: list[int]) -> None:
    named = [(f"input_{number}", size) for number, size in enumerate(sizes)]
    blobs = attempt(lambda: split_blobs(memoryview(rest), named))
    assert (blobs is not None) == (sum(sizes) == len(rest))
    if blobs is not None:
        assert [(name, len(blob)) for name, blob in blobs.items()] == named
        assert b"".join(blobs.values()) == rest
