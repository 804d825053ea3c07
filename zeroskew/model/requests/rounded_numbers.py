"""Whole numbers of a request that float64 does not hold, which its parser has rounded.

A validator for each number would double the time in which a request is read, so what was parsed
is looked at, and what came only where a number is large.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from zeroskew.contract.errors.fields import describe, json_pointer
from zeroskew.contract.errors.service import FieldError
from zeroskew.contract.number_bounds import EXACT_FLOAT

__all__ = ["find_rounded", "has_large_float"]


def has_large_float(values: Iterable[Any]) -> bool:
    """Tell whether a float among parsed values may be a whole number that was rounded.

    >>> has_large_float([1.5, None, "AA", 2**60]), has_large_float([2.0**60])
    (False, True)
    """
    return any(type(one) is float and not -EXACT_FLOAT < one < EXACT_FLOAT for one in values)


def find_rounded(
    came: Mapping[str, Any], parsed: Iterable[tuple[str, Any]], pointer: str
) -> Iterator[FieldError]:
    """Yield a finding for each whole number in an object that was parsed as another float.

    Parameters
    ----------
    came
        The object.
    parsed
        Names in it, and what their values were parsed as.
    pointer
        Where it is in the body.
    """
    for name, value in parsed:
        given = came.get(name)
        if type(value) is float and type(given) is int and given != value:
            expected = "a whole number that float64 holds"
            yield FieldError(json_pointer(pointer, name), describe(given), expected)
