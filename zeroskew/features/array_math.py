"""Sines, cosines and arctangents that numpy and onnxruntime compute to the same bit.

The two libraries' own functions differ in the last bits. These use ``+ - * /``, ``floor``,
``abs`` and comparisons only, which IEEE 754 rounds in one way, so that a request-time function
made of them is traced exactly. All take and give float64 arrays of any shape, of whatever
Array API namespace. The errors stated are the largest seen in millions of values against 60
digits (``tests/zeroskew/features/test_array_math.py`` measures them again).

Every argument is first brought near zero: angles by a multiple of a quarter turn, held in
parts whose products are exact (Cody and Waite, *Software Manual for the Elementary Functions*,
1980, chapter 8), tangents by ``atan(t) = pi/4 + atan((t - 1)/(t + 1))``. What remains is a
polynomial, the one through the function at the Chebyshev nodes of the remaining interval. A
sign is changed by ``0.0 - x``, because numpy and onnxruntime negate zero differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

__all__ = [
    "MAX_DEGREES",
    "MAX_RADIANS",
    "arcsin",
    "arctan2",
    "cos",
    "cos_degrees",
    "sin",
    "sin_cos",
    "sin_cos_degrees",
    "sin_degrees",
]

MAX_RADIANS: Final = 1_600_000.0
"""Quarter turns are exact up to 2**20 of them, which is a little more."""

MAX_DEGREES: Final = 2.0**40

_MAX_COORDINATE: Final = 2.0**1000
_QUARTERS_PER_RADIAN: Final = 0.6366197723675814
_RADIANS_PER_DEGREE: Final = 0.017453292519943295

# A quarter turn in radians: three parts of 33 bits and the rest.
_QUARTER: Final = 1.5707963267341256
_QUARTER_2: Final = 6.077100506303966e-11
_QUARTER_3: Final = 2.0222662487111665e-21
_QUARTER_4: Final = 8.4784276603689e-32

# An eighth of a turn: 50 bits, so that small multiples are exact, and the rest.
_EIGHTH: Final = float.fromhex("0x1.921fb54442d18p-1")
_EIGHTH_2: Final = 3.061616997868383e-17

# (sin(r)/r - 1)/z, (cos(r) - 1 + z/2)/z**2 and (atan(t)/t - 1)/z with z the square of the
# argument, for |r| <= pi/4 and |t| <= 1/2; the lowest power first.
_SIN: Final = (
    *(-0.16666666666666666, 0.008333333333333331, -0.00019841269841265063),
    *(2.7557319219337312e-06, -2.5052106231802837e-08, 1.6058531516797758e-10),
    -7.586691094197958e-13,
)
_COS: Final = (
    *(0.041666666666666664, -0.0013888888888887398, 2.480158729876456e-05),
    *(-2.7557317271145144e-07, 2.087614614655861e-09, -1.1382623647474604e-11),
)
_ATAN: Final = (
    *(-0.3333333333333333, 0.19999999999999488, -0.14285714285599144, 0.11111111100913819),
    *(-0.09090908620176982, 0.07692294709038043, -0.06666435623970629, 0.058795778977469584),
    *(-0.052400959742757096, 0.04628009394739732, -0.038066107887640616, 0.025005822107796952),
    -0.009215319070924557,
)


def sin_cos(radians: Any) -> tuple[Any, Any]:
    """Return sine and cosine of an angle in radians, each within 1 ulp.

    Parameters
    ----------
    radians : array of float64
        Beyond `MAX_RADIANS` either way, infinite or NaN: both are NaN. Zeros have no sign.
    """
    xp = radians.__array_namespace__()
    quarters = xp.floor(radians * _QUARTERS_PER_RADIAN + 0.5)
    rest = radians - quarters * _QUARTER
    error = 0.0
    for part in (_QUARTER_2, _QUARTER_3, _QUARTER_4):
        step = quarters * part - error
        smaller = rest - step
        error = (rest - smaller) - step
        rest = smaller
    sine, cosine = _turn(xp, quarters, *_near_zero(rest, error))
    return _within(xp, radians, MAX_RADIANS, sine), _within(xp, radians, MAX_RADIANS, cosine)


def sin_cos_degrees(degrees: Any) -> tuple[Any, Any]:
    """Return sine and cosine of an angle in degrees, each within 2 ulp.

    Multiples of 90 degrees are taken off without any error, so that the quarter turns
    themselves are exact.

    Parameters
    ----------
    degrees : array of float64
        Beyond `MAX_DEGREES` either way, infinite or NaN: both are NaN. Zeros have no sign.
    """
    xp = degrees.__array_namespace__()
    quarters = xp.floor(degrees / 90.0 + 0.5)
    rest = (degrees - quarters * 90.0) * _RADIANS_PER_DEGREE
    sine, cosine = _turn(xp, quarters, *_near_zero(rest))
    return _within(xp, degrees, MAX_DEGREES, sine), _within(xp, degrees, MAX_DEGREES, cosine)


def sin(radians: Any) -> Any:
    """Return the sine as `sin_cos` does."""
    return sin_cos(radians)[0]


def cos(radians: Any) -> Any:
    """Return the cosine as `sin_cos` does."""
    return sin_cos(radians)[1]


def sin_degrees(degrees: Any) -> Any:
    """Return the sine as `sin_cos_degrees` does."""
    return sin_cos_degrees(degrees)[0]


def cos_degrees(degrees: Any) -> Any:
    """Return the cosine as `sin_cos_degrees` does."""
    return sin_cos_degrees(degrees)[1]


def arctan2(y: Any, x: Any) -> Any:
    """Return the angle of the point ``(x, y)`` in radians, in ``[-pi, pi]``, within 2 ulp.

    Parameters
    ----------
    y, x : array of float64
        Both zero: 0. One beyond 2**1000 either way, infinite or NaN: NaN. Zeros have no sign,
        so that ``y = -0.0`` lies on the positive side.
    """
    xp = y.__array_namespace__()
    width, height = xp.abs(x), xp.abs(y)
    is_steep = height > width
    longer, shorter = xp.where(is_steep, height, width), xp.where(is_steep, width, height)
    is_wide = shorter > longer * 0.5
    # Above a half, `shorter - longer` is exact.
    divisor = xp.where(is_wide, shorter + longer, xp.where(longer > 0.0, longer, longer + 1.0))
    tangent = xp.where(is_wide, shorter - longer, shorter) / divisor
    square = tangent * tangent
    angle = tangent + tangent * (square * _polynomial(_ATAN, square))
    # The angle counts from an octant, up or down.
    is_left = x < 0.0
    octant = xp.where(is_wide, xp.ones_like(square), xp.zeros_like(square))
    octant, angle = xp.where(is_steep, 2.0 - octant, octant), xp.where(is_steep, 0.0 - angle, angle)
    octant, angle = xp.where(is_left, 4.0 - octant, octant), xp.where(is_left, 0.0 - angle, angle)
    whole = octant * _EIGHTH + (angle + octant * _EIGHTH_2)
    return _within(xp, longer, _MAX_COORDINATE, xp.where(y < 0.0, 0.0 - whole, whole))


def arcsin(sine: Any) -> Any:
    """Return the angle in ``[-pi/2, pi/2]`` that has this sine, within 2 ulp.

    Parameters
    ----------
    sine : array of float64
        Outside ``[-1, 1]`` or NaN: NaN. Zeros have no sign.
    """
    xp = sine.__array_namespace__()
    return arctan2(sine, xp.sqrt((1.0 - sine) * (1.0 + sine)))


def _near_zero(angle: Any, error: Any = 0.0) -> tuple[Any, Any]:
    """Return sine and cosine of ``angle + error`` in radians, at most pi/4 either way."""
    square = angle * angle
    half = square * 0.5
    sine = angle + (angle * (square * _polynomial(_SIN, square)) + error)
    near = 1.0 - half
    lost = (1.0 - near) - half
    cosine = near + (lost + (square * square * _polynomial(_COS, square) - angle * error))
    return sine, cosine


def _turn(xp: Any, quarters: Any, sine: Any, cosine: Any) -> tuple[Any, Any]:
    """Turn the angle of `sine` and `cosine` on by so many quarter turns."""
    quarter = quarters - xp.floor(quarters * 0.25) * 4.0
    is_odd = xp.abs(quarter - 2.0) == 1.0
    first, second = xp.where(is_odd, cosine, sine), xp.where(is_odd, sine, cosine)
    is_left = xp.abs(quarter - 1.5) < 1.0
    return xp.where(quarter > 1.5, 0.0 - first, first), xp.where(is_left, 0.0 - second, second)


def _within(xp: Any, argument: Any, bound: float, result: Any) -> Any:
    return xp.where(xp.abs(argument) <= bound, result, xp.asarray(float("nan")))


def _polynomial(coefficients: Sequence[float], x: Any) -> Any:
    """Evaluate by Horner's rule; the lowest power comes first."""
    value = x * coefficients[-1] + coefficients[-2]
    for coefficient in reversed(coefficients[:-2]):
        value = value * x + coefficient
    return value
