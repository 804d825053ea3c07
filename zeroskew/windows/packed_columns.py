"""Columns of stored events as bytes: whole numbers in the narrowest integers that hold them."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import copysign, inf
from typing import Any, Final

from zeroskew.windows.partial import InputValue, dyadic

__all__ = [
    "InputColumn",
    "pack_column",
    "pack_integers",
    "pack_texts",
    "unpack_column",
    "unpack_integers",
    "unpack_texts",
]

assert sys.byteorder == "little", "arrays lie in a state as this processor has them"

_INTEGERS: Final = (("b", 7), ("h", 15), ("i", 31), ("q", 63))
"""What arrays hold, and how many bits of a number beside its sign."""
_DOUBLES: Final = "d"
_TEXTS: Final = "t"
_HEAD: Final = struct.Struct("<cch")
_LENGTH: Final = struct.Struct("<I")
_NUL: Final = b"\0"


@dataclass(slots=True)
class InputColumn:
    """What stored events give to an input.

    Parameters
    ----------
    numbers
        Whole numbers in units of ``2**-shift``; doubles where 64 bits do not hold those; or texts.
    shift
        As above, 0 for whole numbers that are no doubles.
    nulls
        One byte an event, 1 where it gives nothing; ``None`` where all give something.
    is_scaled
        Whether whole numbers stand for doubles.
    is_double
        Whether the numbers are doubles themselves.
    """

    numbers: Any
    shift: int
    nulls: bytes | None
    is_scaled: bool = False
    is_double: bool = False

    def value(self, place: int) -> InputValue | None:
        """Return what an event gives."""
        if self.nulls is not None and self.nulls[place]:
            return None
        value: InputValue = self.original(self.numbers[place])
        return value

    def original(self, number: Any) -> Any:
        """Return the value that one of the numbers stands for."""
        return number * 2.0**-self.shift if self.is_scaled else number


def pack_column(values: Sequence[InputValue | None]) -> bytes:
    """Return what some events give to an input as bytes."""
    has_nulls = None in values
    mask = bytes([value is None for value in values]) if has_nulls else b""
    present = next((value for value in values if value is not None), 0)
    if isinstance(present, str):
        body = pack_texts([b"" if one is None else str(one).encode() for one in values])
        return _HEAD.pack(_TEXTS.encode(), bytes([has_nulls]), 0) + mask + body
    if isinstance(present, float) and (scaled := _scale(values)) is not None:
        numbers, shift = scaled
        kind = _narrowest(numbers)
        head = _HEAD.pack(kind.upper().encode(), bytes([has_nulls]), shift)
        return head + mask + array(kind, numbers).tobytes()
    filled = [0 if one is None else one for one in values]
    kind = _DOUBLES if isinstance(present, float) else _narrowest(filled)  # type: ignore[arg-type]  # no text is among them
    head = _HEAD.pack(kind.encode(), bytes([has_nulls]), 0)
    return head + mask + array(kind, filled).tobytes()  # type: ignore[type-var]  # the same


def unpack_column(data: bytes, at: int, n_events: int) -> tuple[InputColumn, int]:
    """Return the column that begins at a place, and where the next one does."""
    kind_byte, has_nulls, shift = _HEAD.unpack_from(data, at)
    at += _HEAD.size
    nulls = None
    if has_nulls != _NUL:
        nulls, at = data[at : at + n_events], at + n_events
    kind = kind_byte.decode()
    if kind == _TEXTS:
        texts, at = unpack_texts(data, at, n_events)
        return InputColumn([one.decode() for one in texts], 0, nulls), at
    numbers = array(kind.lower())
    end = at + n_events * numbers.itemsize
    numbers.frombytes(data[at:end])
    column = InputColumn(numbers, shift, nulls, kind.isupper(), kind == _DOUBLES)
    return column, end


def pack_integers(numbers: Sequence[int]) -> bytes:
    """Return whole numbers of 64 bits as bytes."""
    kind = _narrowest(numbers)
    return kind.encode() + array(kind, numbers).tobytes()


def unpack_integers(data: bytes, at: int, n_numbers: int) -> tuple[array[int], int]:
    """Return the whole numbers that begin at a place, and where they end."""
    numbers = array(data[at : at + 1].decode())
    end = at + 1 + n_numbers * numbers.itemsize
    numbers.frombytes(data[at + 1 : end])
    return numbers, end


def pack_texts(texts: Sequence[bytes]) -> bytes:
    """Return texts behind their lengths."""
    return b"".join([_LENGTH.pack(len(one)) + one for one in texts])


def unpack_texts(data: bytes, at: int, n_texts: int) -> tuple[list[bytes], int]:
    """Return the texts that begin at a place, and where they end."""
    texts = []
    for _ in range(n_texts):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if at + length > len(data):
            raise ValueError("Got a text that is cut short, but expected all of it")
        texts.append(data[at : at + length])
        at += length
    return texts, at


def _scale(values: Sequence[Any]) -> tuple[list[int], int] | None:
    """Return doubles as whole numbers of one unit; ``None`` where 64 bits do not hold them."""
    found = []
    shift = 0
    for value in values:
        if value is None:
            found.append((0, 0))
            continue
        if value in (inf, -inf) or (value == 0 and copysign(1.0, value) < 0):
            return None
        number, bits = dyadic(value)
        found.append((number, bits))
        shift = max(shift, bits)
    numbers = [number << (shift - bits) for number, bits in found]
    if any(number.bit_length() > _INTEGERS[-1][1] for number in numbers):
        return None
    return numbers, shift


def _narrowest(numbers: Sequence[int]) -> str:
    bits = max(min(numbers, default=0).bit_length(), max(numbers, default=0).bit_length())
    for kind, room in _INTEGERS:
        if bits <= room:
            return kind
    raise ValueError("Got a whole number beyond 64 bits, but expected one within")
