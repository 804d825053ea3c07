"""Tensors: their datatypes, and their elements out of JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zeroskew.contract.errors.fields import describe
from zeroskew.contract.errors.service import InvalidTensorsError
from zeroskew.contract.number_bounds import INT64

__all__ = ["BYTES", "NUMPY_TYPES", "Elements", "Tensor", "list_accepted", "read_json_elements"]

BYTES: Final = "BYTES"

NUMPY_TYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype("?"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""The binary layout of each datatype but `BYTES`."""

_SHORT_INTEGERS: Final = ("INT8", "INT16", "UINT8", "UINT16")
_WIDENED: Final[dict[str, tuple[str, ...]]] = {
    "INT64": (*_SHORT_INTEGERS, "INT32", "UINT32"),
    "FP32": ("FP16", *_SHORT_INTEGERS),
    "FP64": ("FP32", "FP16", *_SHORT_INTEGERS, "INT32", "UINT32"),
}
_JSON_TYPES: Final[dict[str, tuple[frozenset[type], str]]] = {
    "BYTES": (frozenset({str}), "a string"),
    "BOOL": (frozenset({bool}), "true or false"),
    "INT": (frozenset({int}), "a whole number"),
    "FP": (frozenset({int, float}), "a number"),
}

Elements: TypeAlias = list[Any] | NDArray[Any]
"""A tensor's elements in row-major order; floating-point ones are an array.

In an array NaN is a missing value; a list may hold ``None`` for one.
"""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor; ``is_nullable`` says that a text in it may stand for a null."""

    name: str
    elements: Elements
    is_nullable: bool = False


def list_accepted(datatype: str) -> tuple[str, ...]:
    """Return `datatype` and those that become it without losing a bit of any value.

    >>> list_accepted("FP32")
    ('FP32', 'FP16', 'INT8', 'INT16', 'UINT8', 'UINT16')
    """
    return (datatype, *_WIDENED.get(datatype, ()))


def read_json_elements(
    data: Sequence[Any], *, name: str, datatype: str, shape: Sequence[int]
) -> Elements:
    """Return the elements of a tensor from JSON.

    Parameters
    ----------
    data
        As many elements as the shape says, in one list or in lists nested as the shape says.
        ``None`` is a missing value.
    name
        What errors call the tensor.
    datatype
        `BYTES` or one of `NUMPY_TYPES`.
    shape
        One or two dimensions that are known to be small.

    Raises
    ------
    InvalidTensorsError
        If there are more or fewer elements, or one is of another type or beyond the datatype.
    """
    flat = _flatten(data, name, shape)
    kind = datatype if datatype in _JSON_TYPES else datatype.lstrip("U").rstrip("0123456789")
    types, expected = _JSON_TYPES[kind]
    found = set(map(type, flat)) - {type(None)}
    if not found <= types:
        position = next(i for i, one in enumerate(flat) if type(one) in found - types)
        raise _refuse(flat[position], position, name, f"{expected} as {datatype}")
    if int in found:
        _check_integers(flat, name, datatype)
    return _make_floats(flat, name, datatype) if kind == "FP" else flat


def _flatten(data: Sequence[Any], name: str, shape: Sequence[int]) -> list[Any]:
    n_elements = math.prod(shape)
    if len(shape) > 1 and len(data) == shape[0] and all(type(row) is list for row in data):
        lengths = {len(row) for row in data} - {shape[1]}
        if lengths:
            raise InvalidTensorsError(
                f"Got a list of {min(lengths)} in the data of input {describe(name)}, but "
                f"expected lists of {shape[1]} or one of {n_elements}, as the shape says."
            )
        return list(chain.from_iterable(data))
    if len(data) != n_elements:
        raise InvalidTensorsError(
            f"Got {len(data)} elements in the data of input {describe(name)}, but expected "
            f"{n_elements}, as the shape {list(shape)} says."
        )
    return list(data)


def _check_integers(flat: Sequence[float | None], name: str, datatype: str) -> None:
    low, high = INT64.start, (1 << 64) - 1
    is_float = NUMPY_TYPES[datatype].kind == "f"
    if not is_float:
        bounds = np.iinfo(NUMPY_TYPES[datatype])
        low, high = bounds.min, bounds.max
    for position, number in enumerate(flat):
        if type(number) is not int:
            continue
        if not low <= number <= high:
            raise _refuse(number, position, name, f"a whole number from {low} to {high}")
        if is_float and float(number) != number:
            raise _refuse(number, position, name, "a whole number that float64 holds")


def _make_floats(flat: Sequence[float | None], name: str, datatype: str) -> NDArray[Any]:
    # None becomes NaN, which JSON itself cannot say.
    numbers = np.array(flat, np.float64)
    with np.errstate(over="ignore"):
        numbers = numbers.astype(NUMPY_TYPES[datatype])
    beyond = np.flatnonzero(np.isinf(numbers))
    if len(beyond):
        position = int(beyond[0])
        raise _refuse(flat[position], position, name, f"a finite number within {datatype}")
    return numbers


def _refuse(got: object, position: int, name: str, expected: str) -> InvalidTensorsError:
    return InvalidTensorsError(
        f"Got {describe(got)} as element {position} of input {describe(name)}, "
        f"but expected {expected}."
    )
