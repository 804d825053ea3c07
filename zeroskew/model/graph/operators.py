"""The operators of a graph that calculate row by row, over Python's floats.

IEEE 754 rounds each of them in one way, so that Python and the runtime give the same bits.
Operators whose results differ between libraries (powers, exponentials, logarithms) are not among
them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["OPERATORS", "Kind", "Operator"]


class Kind(Enum):
    """What a value is in each row: a float64 or a bool."""

    NUMBER = "number"
    TRUTH = "truth"


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes
    ----------
    takes, gives
        What its operands and its result are.
    compute
        It, over Python's floats and bools.
    commutes
        Whether its operands may change places.
    """

    takes: Kind
    gives: Kind
    compute: Callable[..., float]
    commutes: bool = False


def _divide(dividend: float, divisor: float) -> float:
    try:
        return dividend / divisor
    except ZeroDivisionError:
        if dividend == 0.0 or dividend != dividend:
            return math.nan
        return math.copysign(math.inf, dividend) * math.copysign(1.0, divisor)


def _floor(x: float) -> float:
    """Return the floor; of NaN and infinities themselves, of -0.0 that too."""
    return x // 1.0 if x - x == 0.0 else x


def _ceil(x: float) -> float:
    return -(-x // 1.0) if x - x == 0.0 else x


def _square_root(x: float) -> float:
    return math.sqrt(x) if x >= 0.0 else math.nan


def _is_nan(x: float) -> bool:
    return x != x


_N, _T = Kind.NUMBER, Kind.TRUTH

OPERATORS: Final = {
    "Add": Operator(_N, _N, operator.add, commutes=True),
    "Sub": Operator(_N, _N, operator.sub),
    "Mul": Operator(_N, _N, operator.mul, commutes=True),
    "Div": Operator(_N, _N, _divide),
    "Neg": Operator(_N, _N, operator.neg),
    "Abs": Operator(_N, _N, abs),
    "Floor": Operator(_N, _N, _floor),
    "Ceil": Operator(_N, _N, _ceil),
    "Sqrt": Operator(_N, _N, _square_root),
    "Less": Operator(_N, _T, operator.lt),
    "LessOrEqual": Operator(_N, _T, operator.le),
    "Greater": Operator(_N, _T, operator.gt),
    "GreaterOrEqual": Operator(_N, _T, operator.ge),
    "Equal": Operator(_N, _T, operator.eq),
    "IsNaN": Operator(_N, _T, _is_nan),
    "And": Operator(_T, _T, operator.and_, commutes=True),
    "Or": Operator(_T, _T, operator.or_, commutes=True),
    "Xor": Operator(_T, _T, operator.xor, commutes=True),
    "Not": Operator(_T, _T, operator.not_),
}
"""By their ONNX names."""
