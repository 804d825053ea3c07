"""What many events of one input come to, in a bounded number of numbers; two of them add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import copysign
from typing import TypeAlias

from zeroskew.windows.exact import divide, sqrt_ratio

__all__ = [
    "EventOrder",
    "InputValue",
    "OrderedValue",
    "Partial",
    "dyadic",
    "mean_of",
    "order_of",
    "place_of",
    "sum_of",
    "variance_of",
]

InputValue: TypeAlias = int | float | str
"""What an event gives to an input; text, a whole number or a double that is not NaN."""

EventOrder: TypeAlias = tuple[int, int, bytes]
"""Event time, created time, id: which of two events comes later."""


def dyadic(value: float) -> tuple[int, int]:
    """Return a finite double as a whole number and the power of two that divides it.

    >>> dyadic(0.75), dyadic(-4.0)
    ((3, 2), (-4, 0))
    """
    above, below = value.as_integer_ratio()
    return above, below.bit_length() - 1


def order_of(value: InputValue) -> tuple[InputValue, float]:
    """Return what values of one input are compared by: -0.0 is below 0.0."""
    return (value, copysign(1.0, value) if isinstance(value, float) else 0.0)


OrderedValue: TypeAlias = tuple[EventOrder, InputValue]


def place_of(one: OrderedValue) -> tuple[EventOrder, tuple[InputValue, float]]:
    """Return what values of several events are ordered by, first to last."""
    return one[0], order_of(one[1])


@dataclass(slots=True)
class Partial:
    """Counts, exact sums, extremes and ends of the values of some events.

    ``sum`` is in units of ``2**-shift``, ``squares`` in units of ``2**-(2 * shift)``; infinite
    values are counted apart. ``first`` and ``last`` are orders and values. ``times`` counts each
    distinct value by its order, where somebody asks for it.
    """

    count: int = 0
    shift: int = 0
    sum: int = 0
    squares: int = 0
    above: int = 0
    below: int = 0
    least: InputValue | None = None
    greatest: InputValue | None = None
    first: OrderedValue | None = None
    last: OrderedValue | None = None
    times: Counter[tuple[InputValue, float]] | None = None

    def add(self, order: EventOrder, value: InputValue) -> None:
        """Add the value of an event."""
        self.count += 1
        if not isinstance(value, str):
            self._add_number(value)
        self._see(value, value, (order, value), (order, value))
        if self.times is not None:
            self.times[order_of(value)] += 1

    def merge(self, other: Partial) -> None:
        """Add all that another one has seen."""
        self.count += other.count
        self.above += other.above
        self.below += other.below
        self._scale_to(other.shift)
        shift = self.shift - other.shift
        self.sum += other.sum << shift
        self.squares += other.squares << (2 * shift)
        if other.least is not None:
            assert other.greatest is not None
            assert other.first is not None
            assert other.last is not None
            self._see(other.least, other.greatest, other.first, other.last)
        if self.times is not None and other.times is not None:
            self.times.update(other.times)

    def _see(
        self, least: InputValue, greatest: InputValue, first: OrderedValue, last: OrderedValue
    ) -> None:
        if self.least is None or order_of(least) < order_of(self.least):
            self.least = least
        if self.greatest is None or order_of(greatest) > order_of(self.greatest):
            self.greatest = greatest
        if self.first is None or place_of(first) < place_of(self.first):
            self.first = first
        if self.last is None or place_of(last) > place_of(self.last):
            self.last = last

    def _scale_to(self, shift: int) -> None:
        if shift > self.shift:
            self.sum <<= shift - self.shift
            self.squares <<= 2 * (shift - self.shift)
            self.shift = shift

    def _add_number(self, value: float) -> None:
        if value in (float("inf"), float("-inf")):
            self.above += value > 0
            self.below += value < 0
            return
        number, shift = (value, 0) if isinstance(value, int) else dyadic(value)
        self._scale_to(shift)
        number <<= self.shift - shift
        self.sum += number
        self.squares += number * number


def mean_of(count: int, total: int, shift: int, above: int, below: int) -> float | None:
    """Return a mean, rounded once; infinite or NaN where infinite values are in it."""
    return _share(total, count, shift, above, below) if count else None


def sum_of(total: int, shift: int, above: int, below: int) -> float:
    """Return a sum of doubles, rounded once; infinite or NaN where infinite values are in it."""
    return _share(total, 1, shift, above, below)


def _share(total: int, count: int, shift: int, above: int, below: int) -> float:
    if above or below:
        return float("nan") if above and below else float("inf") if above else float("-inf")
    return divide(total, count, shift)


def variance_of(
    count: int, total: int, squares: int, shift: int, *, less: int, has_infinite: bool, root: bool
) -> float | None:
    """Return a variance or its root, rounded once; null where the divisor ``count - less`` is 0."""
    if count <= less:
        return None
    if has_infinite:
        return float("nan")
    above, below = count * squares - total * total, count * (count - less)
    return (sqrt_ratio if root else divide)(above, below, 2 * shift)
