"""The binary tensor data extension: a JSON document, and behind it the elements of tensors.

The header ``Inference-Header-Content-Length`` says how long the JSON is. Elements are
little-endian and follow each other without gaps, tensor after tensor in the JSON's order. An
element of a BYTES tensor is its length in four bytes, and then so many bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from api.v2.tensors import BYTES, NUMPY_TYPES, Elements
from zeroskew.contract.errors.fields import describe
from zeroskew.contract.errors.service import InvalidTensorsError

__all__ = [
    "HEADER_LENGTH",
    "decode_text",
    "encode_bytes",
    "read_binary_elements",
    "read_byte_strings",
    "split_blobs",
    "split_body",
]

HEADER_LENGTH: Final = "Inference-Header-Content-Length"

_LENGTH: Final = struct.Struct("<I")
_MAX_DIGITS: Final = 18


def split_body(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """Return the JSON of a body, and the bytes behind it.

    >>> document, rest = split_body(b"{}abc", "2")
    >>> document, bytes(rest)
    (b'{}', b'abc')

    Parameters
    ----------
    body
        The whole body.
    header_length
        The header `HEADER_LENGTH`, or ``None``: then all of the body is JSON. With 0 there is no
        JSON, and the body is a raw binary request.

    Raises
    ------
    InvalidTensorsError
        If the header is no number of bytes that the body has.
    """
    if header_length is None:
        return body, memoryview(b"")
    is_number = header_length.isascii() and header_length.isdecimal()
    if not is_number or len(header_length) > _MAX_DIGITS or int(header_length) > len(body):
        raise InvalidTensorsError(
            f"Got {describe(header_length)} in the header {HEADER_LENGTH}, but expected "
            f"a whole number of at most {len(body)}, the length of the body."
        )
    length = int(header_length)
    return body[:length], memoryview(body)[length:]


def split_blobs(rest: memoryview, sizes: Sequence[tuple[str, int]]) -> dict[str, memoryview]:
    """Return each tensor's bytes.

    Parameters
    ----------
    rest
        What stands behind the JSON.
    sizes
        The names of the binary tensors and how many bytes each has, at least 0, in order.

    Raises
    ------
    InvalidTensorsError
        If a tensor's bytes go beyond the end, or some belong to none.
    """
    blobs: dict[str, memoryview] = {}
    start = 0
    for name, size in sizes:
        left = len(rest) - start
        if size > left:
            raise InvalidTensorsError(
                f"Got {left} bytes for input {describe(name)} in the body, but expected "
                f"{describe(size)}, as its binary_data_size says."
            )
        blobs[name] = rest[start : start + size]
        start += size
    if start < len(rest):
        raise InvalidTensorsError(
            f"Got {len(rest)} bytes behind the JSON, but expected {start}, which is the sum of "
            f"binary_data_size over {len(blobs)} inputs."
        )
    return blobs


def read_binary_elements(
    blob: memoryview, *, name: str, datatype: str, n_elements: int
) -> Elements:
    """Return the elements of a tensor from its bytes.

    Parameters
    ----------
    blob
        All of the tensor's bytes, and no others.
    name
        What errors call the tensor.
    datatype
        `BYTES` or one of `NUMPY_TYPES`.
    n_elements
        How many elements the shape says.

    Returns
    -------
    list of str, or ndarray
        Text for `BYTES`, else an array of the datatype that is a copy, whose memory is aligned.

    Raises
    ------
    InvalidTensorsError
        If the bytes are not exactly so many elements; a truth value is neither 0 nor 1; or a
        text is not UTF-8.
    """
    if datatype == BYTES:
        strings = read_byte_strings(blob, name=name, n_elements=n_elements)
        return [decode_text(text, position, name) for position, text in enumerate(strings)]
    dtype = NUMPY_TYPES[datatype]
    expected = n_elements * dtype.itemsize
    if len(blob) != expected:
        raise InvalidTensorsError(
            f"Got {len(blob)} bytes for input {describe(name)}, but expected {expected}, "
            f"which is {n_elements} elements of {datatype}."
        )
    if datatype == "BOOL" and not set(blob) <= {0, 1}:
        wrong = next(byte for byte in blob if byte > 1)
        raise InvalidTensorsError(
            f"Got the byte {wrong} in input {describe(name)}, but expected 0 or 1 for BOOL."
        )
    return np.frombuffer(blob, dtype).copy()


def read_byte_strings(blob: memoryview, *, name: str, n_elements: int) -> list[bytes]:
    """Return the elements of a BYTES tensor; no more is read or copied than `blob` has.

    >>> read_byte_strings(memoryview(bytes([2, 0, 0, 0]) + b"UA"), name="carrier", n_elements=1)
    [b'UA']

    Raises
    ------
    InvalidTensorsError
        If the bytes are not exactly `n_elements` elements.
    """
    strings: list[bytes] = []
    start = 0
    while start < len(blob) and len(strings) < n_elements:
        begin = start + _LENGTH.size
        end = begin
        if begin <= len(blob):
            end += _LENGTH.unpack_from(blob, start)[0]
        if end > len(blob):
            raise InvalidTensorsError(
                f"Got {len(blob) - start} bytes for element {len(strings)} of input "
                f"{describe(name)}, but expected {end - start}: four of its length, and the text."
            )
        strings.append(bytes(blob[begin:end]))
        start = end
    if start < len(blob) or len(strings) < n_elements:
        raise InvalidTensorsError(
            f"Got {len(strings)} elements and {len(blob) - start} more bytes for input "
            f"{describe(name)}, but expected {n_elements} elements and no more."
        )
    return strings


def encode_bytes(texts: Iterable[str]) -> bytes:
    r"""Return the elements of a BYTES tensor.

    >>> encode_bytes(["UA"])
    b'\x02\x00\x00\x00UA'
    """
    encoded = [text.encode() for text in texts]
    return b"".join(part for text in encoded for part in (_LENGTH.pack(len(text)), text))


def decode_text(text: bytes, position: int, name: str) -> str:
    """Return an element of a BYTES tensor as text.

    Raises
    ------
    InvalidTensorsError
        If it is not UTF-8; it names the input and the element's position in it.
    """
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise InvalidTensorsError(
            f"Got bytes as element {position} of input {describe(name)} that are no text, "
            "but expected UTF-8."
        ) from error
