"""The functions against the decimal module to 60 digits, and against their own ONNX graphs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from zeroskew.features import array_math
from zeroskew.features.request_function import RequestFunction
from zeroskew.features.trace_request_time import trace_request_function

FloatArray = npt.NDArray[np.float64]
DIGITS = 60
N_VALUES = 1_000
RNG = np.random.default_rng(5)
SPECIAL = np.array([np.nan, np.inf, -np.inf])


@functools.cache
def pi() -> Decimal:
    """Machin: pi/4 = 4 atan(1/5) - atan(1/239)."""
    return 4 * (4 * series_of_atan(Decimal(1) / 5) - series_of_atan(Decimal(1) / 239))


def series_of_atan(tangent: Decimal) -> Decimal:
    return sum_of(
        (-1) ** k * tangent ** (2 * k + 1) / (2 * k + 1) for k in range(int(DIGITS * 1.7) + 5)
    )


def sum_of(terms: Any) -> Decimal:
    return functools.reduce(lambda total, term: total + term, terms, Decimal(0))


def exact_sin(angle: Decimal) -> Decimal:
    rest = angle - (angle / (2 * pi())).to_integral_value() * 2 * pi()
    term, total = rest, rest
    for k in range(1, 60):
        term *= -rest * rest / ((2 * k) * (2 * k + 1))
        total += term
    return total


def exact_cos(angle: Decimal) -> Decimal:
    return exact_sin(angle + pi() / 2)


def in_radians(degrees: Decimal) -> Decimal:
    """Take off whole turns first, so that nothing is lost of large angles."""
    return degrees.remainder_near(Decimal(360)) * pi() / 180


def exact_atan2(y: Decimal, x: Decimal) -> Decimal:
    if y < 0:
        return -exact_atan2(-y, x)
    if x < 0:
        return pi() - exact_atan2(y, -x)
    if y > x:
        return pi() / 2 - exact_atan2(x, y)
    tangent = y / x
    for _ in range(3):  # Halve the angle until the series is short.
        tangent = tangent / (1 + (1 + tangent * tangent).sqrt())
    return 8 * series_of_atan(tangent)


def exact_arcsin(sine: Decimal) -> Decimal:
    return exact_atan2(sine, ((1 - sine) * (1 + sine)).sqrt())


def largest_error(got: FloatArray, exact: Callable[..., Decimal], *arguments: FloatArray) -> float:
    """Return the largest error in units of the last place of the exact result."""
    worst = Decimal(0)
    with localcontext() as context:
        context.prec = DIGITS + 20
        for value, *point in zip(got.tolist(), *(one.tolist() for one in arguments), strict=True):
            target = exact(*(Decimal(one) for one in point))
            worst = max(worst, abs(Decimal(value) - target) / Decimal(math.ulp(float(target))))
    return float(worst)


def radians() -> FloatArray:
    near_quarters = np.round(RNG.uniform(-1e6, 1e6, N_VALUES)) * (math.pi / 2)
    small = 10.0 ** RNG.uniform(-30, 0, N_VALUES)
    wide = RNG.uniform(-array_math.MAX_RADIANS, array_math.MAX_RADIANS, N_VALUES)
    return np.concatenate([near_quarters, small, wide, RNG.uniform(-7, 7, N_VALUES)])


def degrees() -> FloatArray:
    wide = RNG.uniform(-array_math.MAX_DEGREES, array_math.MAX_DEGREES, N_VALUES)
    turns = RNG.uniform(-720, 720, N_VALUES)
    return np.concatenate([wide, turns, np.round(turns, 4), 10.0 ** RNG.uniform(-30, 2, N_VALUES)])


def test_sine_and_cosine_are_within_an_ulp() -> None:
    angles = radians()
    sine, cosine = array_math.sin_cos(angles)
    assert largest_error(sine, exact_sin, angles) < 1.0
    assert largest_error(cosine, exact_cos, angles) < 1.0
    np.testing.assert_array_equal(array_math.sin(angles), sine)
    np.testing.assert_array_equal(array_math.cos(angles), cosine)


def test_sine_and_cosine_of_degrees_are_within_two_ulp() -> None:
    angles = degrees()
    sine, cosine = array_math.sin_cos_degrees(angles)
    assert largest_error(sine, lambda angle: exact_sin(in_radians(angle)), angles) < 2.0
    assert largest_error(cosine, lambda angle: exact_cos(in_radians(angle)), angles) < 2.0
    np.testing.assert_array_equal(array_math.sin_degrees(angles), sine)
    np.testing.assert_array_equal(array_math.cos_degrees(angles), cosine)


def test_arctangent_is_within_two_ulp_and_arcsine_within_three() -> None:
    y = np.concatenate([RNG.normal(size=N_VALUES), 10.0 ** RNG.uniform(-20, 20, N_VALUES)])
    x = np.concatenate([RNG.normal(size=N_VALUES), y[N_VALUES:] * RNG.uniform(-3, 3, N_VALUES)])
    assert largest_error(array_math.arctan2(y, x), exact_atan2, y, x) < 2.0
    sine = np.concatenate(
        [RNG.uniform(-1, 1, N_VALUES), 1 - 10.0 ** RNG.uniform(-15, -1, N_VALUES)]
    )
    assert largest_error(array_math.arcsin(sine), exact_arcsin, sine) < 3.0


def test_all_agree_with_numpy_within_rounding() -> None:
    angles = RNG.uniform(-1e5, 1e5, 100_000)
    for got, of_numpy in zip(array_math.sin_cos(angles), (np.sin, np.cos), strict=True):
        np.testing.assert_allclose(got, of_numpy(angles), rtol=3e-16, atol=0)
    y, x = RNG.normal(size=(2, 100_000))
    np.testing.assert_allclose(array_math.arctan2(y, x), np.arctan2(y, x), rtol=5e-16, atol=0)


def test_quarter_turns_are_exact() -> None:
    sine, cosine = array_math.sin_cos_degrees(np.arange(-720.0, 721.0, 90.0))
    np.testing.assert_array_equal(sine, [0.0, 1.0, 0.0, -1.0] * 4 + [0.0])
    np.testing.assert_array_equal(cosine, [1.0, 0.0, -1.0, 0.0] * 4 + [1.0])
    y, x = np.array([0.0, 1.0, 1.0, 0.0, -1.0, 0.0]), np.array([1.0, 1.0, 0.0, -1.0, 0.0, 0.0])
    expected = [0.0, math.pi / 4, math.pi / 2, math.pi, -math.pi / 2, 0.0]
    np.testing.assert_array_equal(array_math.arctan2(y, x), expected)


@pytest.mark.parametrize(
    ("function", "beyond"),
    [
        (array_math.sin, 1_600_001.0),
        (array_math.cos_degrees, 2.0**40 + 1),
        (array_math.arcsin, 1.0000001),
    ],
)
def test_what_lies_beyond_the_domain_is_nan(
    function: Callable[[FloatArray], FloatArray], beyond: float
) -> None:
    with np.errstate(invalid="ignore"):
        assert np.isnan(function(np.array([*SPECIAL, beyond, -beyond]))).all()


def test_arctangent_of_what_is_not_finite_or_too_large_is_nan() -> None:
    wrong = np.array([*SPECIAL, 2.0**1001])
    with np.errstate(invalid="ignore"):
        assert np.isnan(array_math.arctan2(wrong, np.ones(4))).all()
        assert np.isnan(array_math.arctan2(np.ones(4), wrong)).all()


def all_of_them(first: Any, second: Any) -> dict[str, Any]:
    sine, cosine = array_math.sin_cos(first)
    sine_of_degrees, cosine_of_degrees = array_math.sin_cos_degrees(second)
    return {
        "sine": sine,
        "cosine": cosine,
        "sine_of_degrees": sine_of_degrees,
        "cosine_of_degrees": cosine_of_degrees,
        "angle": array_math.arctan2(first, second),
        "arcsine": array_math.arcsin(first),
    }


def test_the_traced_graphs_give_the_same_bits() -> None:
    """`trace_request_function` itself compares to the bit, on all its verification rows."""
    outputs = ("sine", "cosine", "sine_of_degrees", "cosine_of_degrees", "angle", "arcsine")
    model = trace_request_function(
        RequestFunction("all", ("first", "second"), outputs, all_of_them)
    )
    assert {node.op_type for node in model.graph.node}.isdisjoint({"Sin", "Cos", "Atan", "Asin"})
