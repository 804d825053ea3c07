"""The fields of a protobuf message, read without its schema.

See https://protobuf.dev/programming-guides/encoding for the format.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FIXED32",
    "FIXED64",
    "LENGTH_DELIMITED",
    "VARINT",
    "Field",
    "Message",
    "read_fields",
    "read_varint",
]

Message: TypeAlias = memoryview
_Bytes: TypeAlias = NDArray[np.uint8]
_Places: TypeAlias = NDArray[np.intp]

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
"""The wire types that a field's tag names."""

_FIRST_WINDOW_BYTES: Final = 256
_MAX_VARINT_BYTES: Final = 10


class Field(NamedTuple):
    """One field, or several equal ones of numbers that stand side by side.

    ``content`` is a length-delimited field's, ``number`` the first value of a varint field.
    ``repeats`` says how many fields it stands for.
    """

    id: int
    content: Message
    number: int = 0
    repeats: int = 1


def read_fields(message: Message) -> Iterator[Field]:
    """Yield the fields of `message` in their order.

    A tree ensemble has tens of thousands of numbers. A run of them is one field, found by numpy:
    a loop in Python, or one long match of a pattern, would hold up the service that serves
    meanwhile.

    Raises
    ------
    IndexError
        If the message ends too early, or has an unknown wire type.
    """
    empty = message[:0]
    position = 0
    while position < len(message):
        begin = position
        tag, position = read_varint(message, position)
        kind = tag & 7
        content, number, count = empty, 0, 1
        if kind == LENGTH_DELIMITED:
            length, position = read_varint(message, position)
            content = message[position : position + length]
            position += length
        elif kind == VARINT:
            number, position = read_varint(message, position)
        elif kind in (FIXED32, FIXED64):
            position += 4 if kind == FIXED32 else 8
        else:
            raise IndexError(f"Got protobuf wire type {kind}.")
        if position > len(message):
            raise IndexError("Got a protobuf field that is cut off.")
        if (
            kind != LENGTH_DELIMITED
            and message[begin] < 0x80
            and _repeats(message, begin, position)
        ):
            count, position = _skip_run(message, begin, kind)
        yield Field(tag >> 3, content, number, count)


def _repeats(message: Message, begin: int, end: int) -> bool:
    return end < len(message) and message[end] == message[begin]


def _skip_run(message: Message, begin: int, kind: int) -> tuple[int, int]:
    """Return how many fields with the tag at `begin` follow each other, and where they end.

    The window grows with the run: runs of two, one after the other, take linear time, too.
    """
    count, position, size = 0, begin, _FIRST_WINDOW_BYTES
    while position < len(message):
        window = np.frombuffer(message[position : position + size], np.uint8)
        ends = _varint_ends(window) if kind == VARINT else _fixed_ends(window, kind)
        starts = np.concatenate(([0], ends[:-1]))[: len(ends)]
        belongs = window[starts] == message[begin]
        n = len(ends) if belongs.all() else int(belongs.argmin())
        if n == 0:
            break
        count += n
        position += int(ends[n - 1])
        if n < len(ends):
            break
        size *= 2
    return count, position


def _varint_ends(window: _Bytes) -> _Places:
    """Return where each pair of a one-byte tag and a varint of at most ten bytes ends.

    Both end in a byte below 128, so every second such byte ends a pair. Behind a longer tag
    that is no longer so, but such a tag is not the one that is looked for.
    """
    ends = np.flatnonzero(window < 0x80)[1::2] + 1
    too_long = np.diff(ends, prepend=0) > 1 + _MAX_VARINT_BYTES
    return ends[: int(too_long.argmax())] if too_long.any() else ends


def _fixed_ends(window: _Bytes, kind: int) -> _Places:
    stride = 5 if kind == FIXED32 else 9
    return np.arange(stride, len(window) + 1, stride)


def read_varint(message: Message | bytes, position: int) -> tuple[int, int]:
    """Return an unsigned varint of at most 64 bits, and the position behind it.

    >>> read_varint(bytes([0xAC, 0x02]), 0)
    (300, 2)

    Raises
    ------
    IndexError
        If the message ends too early, or the number is longer.
    """
    number = 0
    for index in range(_MAX_VARINT_BYTES):
        byte = message[position + index]
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number & 0xFFFF_FFFF_FFFF_FFFF, position + index + 1
    raise IndexError("Got a protobuf number of more than 64 bits.")
