"""Sums, means and deviations without error: exact in whole numbers, rounded once at the end.

A double is a whole number times a power of two, so a column of them is a column of whole numbers
that share a power: ``value = number * 2**-shift``. Whole numbers add in any order, and Python
divides two of them correctly rounded. So no result knows in which order, or in how many parts,
its events came.
"""

from __future__ import annotations

from math import isqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Numbers",
    "Scaled",
    "divide",
    "divide_all",
    "scale",
    "sqrt_ratio",
]

Numbers = NDArray[Any]
"""Whole numbers: int64, or objects (Python's ``int``) where 64 bits do not hold them."""

MANTISSA_BITS: Final = 53
WORD_BITS: Final = 62
"""What int64 numbers may take before their sums and products are left to Python's."""
_ROOT_BITS: Final = 64
_SAFE_SHIFT: Final = 900
"""Within, a whole number of a double's precision is neither subnormal nor infinite."""


class Scaled:
    """Finite doubles as ``numbers * 2**-shift``."""

    __slots__ = ("numbers", "shift")

    def __init__(self, numbers: Numbers, shift: int) -> None:
        self.numbers = numbers
        self.shift = shift


def scale(values: NDArray[np.float64]) -> Scaled:
    """Return finite doubles as whole numbers that share a power of two.

    Parameters
    ----------
    values
        float64, shape ``(n,)``, finite.

    Returns
    -------
    Scaled
        int64 numbers where 62 bits hold all of them, else Python's.

    Examples
    --------
    >>> scaled = scale(np.array([0.5, -3.0]))
    >>> scaled.numbers.tolist(), scaled.shift
    ([1, -6], 1)
    """
    mantissas, exponents = np.frexp(values)
    numbers = np.ldexp(mantissas, MANTISSA_BITS).astype(np.int64)
    exponents = exponents.astype(np.int64) - MANTISSA_BITS
    some = numbers != 0
    if not some.any():
        return Scaled(numbers, 0)
    lowest_bit = np.frexp((numbers & -numbers).astype(np.float64))[1] - 1
    least = int((exponents + lowest_bit)[some].min())
    most = int(exponents[some].max()) + MANTISSA_BITS
    moves = np.where(some, exponents - least, 0)
    if most - least <= WORD_BITS:
        numbers = np.where(
            moves >= 0, numbers << np.maximum(moves, 0), numbers >> np.maximum(-moves, 0)
        )
        return Scaled(numbers, -least)
    exact = numbers.astype(object)
    up = moves >= 0
    exact[up] = exact[up] << moves[up].astype(object)
    exact[~up] = exact[~up] >> (-moves[~up]).astype(object)
    return Scaled(exact, -least)


def divide(numerator: int, denominator: int, shift: int = 0) -> float:
    """Return ``numerator / denominator * 2**-shift``, correctly rounded, infinite beyond doubles.

    >>> divide(2**53 + 1, 1), divide(-1, 3), divide(1, 1, -1024)
    (9007199254740992.0, -0.3333333333333333, inf)
    """
    if shift >= 0:
        denominator <<= shift
    else:
        numerator <<= -shift
    try:
        return numerator / denominator
    except OverflowError:
        return float("inf") if numerator > 0 else float("-inf")


def sqrt_ratio(numerator: int, denominator: int, shift: int = 0) -> float:
    """Return the square root of ``numerator / denominator * 2**-shift``, correctly rounded.

    >>> sqrt_ratio(2, 1) == 2**0.5, sqrt_ratio(9, 4), sqrt_ratio(0, 7)
    (True, 1.5, 0.0)
    """
    if shift >= 0:
        denominator <<= shift
    else:
        numerator <<= -shift
    if numerator == 0:
        return 0.0
    half = (denominator.bit_length() - numerator.bit_length()) // 2 + _ROOT_BITS
    if half >= 0:
        numerator <<= 2 * half
    else:
        denominator <<= -2 * half
    square, rest = divmod(numerator, denominator)
    root = isqrt(square)
    # Odd where something is left: no double's halfway point, so the second rounding adds nothing.
    if rest or root * root != square:
        root |= 1
    return divide(root, 1, half)


def _are_doubles(numbers: NDArray[np.int64]) -> bool:
    """Tell whether a double holds each of some whole numbers."""
    limit = 1 << MANTISSA_BITS
    return bool(-limit <= numbers.min(initial=0) and numbers.max(initial=0) <= limit)


def divide_all(
    numerators: Numbers, denominators: NDArray[np.int64] | Numbers, shift: int
) -> NDArray[np.float64]:
    """Return `divide` of each pair; a pair whose denominator is 0 gives 0.

    Parameters
    ----------
    numerators, denominators
        Whole numbers, shape ``(n,)``; denominators are not negative.
    shift
        The power of two that all are divided by.
    """
    result = np.zeros(len(numerators))
    slow = denominators > 0
    if abs(shift) < _SAFE_SHIFT and numerators.dtype != object and denominators.dtype != object:
        # Both are doubles, so their quotient is rounded once, and a power of two moves no bit.
        quick = slow
        if not (_are_doubles(numerators) and _are_doubles(denominators)):
            limit = 1 << MANTISSA_BITS
            quick = slow & (abs(numerators) <= limit) & (denominators <= limit)
        np.divide(numerators, denominators, out=result, where=quick)
        if shift:
            np.ldexp(result, -shift, out=result, where=quick)
        slow = slow & ~quick
    places = np.flatnonzero(slow)
    if len(places):
        pairs = zip(numerators[places].tolist(), denominators[places].tolist(), strict=True)
        result[places] = [divide(above, below, shift) for above, below in pairs]
    return result
