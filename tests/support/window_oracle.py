"""Windows by brute force: over all events of an entity, in exact rational arithmetic."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from zeroskew.contract.window_plan import WindowFeature, WindowFunction

__all__ = ["RawEvent", "expected_value", "is_same"]

Value = int | float | str | None


@dataclass(frozen=True)
class RawEvent:
    """An event as it came, perhaps one of several versions with the same id."""

    entity: int
    event_us: int
    created_us: int
    event_id: str | None
    value: Value


def expected_value(
    events: Sequence[RawEvent], entity: int, time_us: int, one: WindowFeature, hop_us: int | None
) -> Value:
    """Return what a feature is at a time, by its definition and nothing else."""
    standing: dict[str, RawEvent] = {}
    for event in sorted(events, key=_version):
        if event.created_us <= time_us and event.event_id is not None:
            standing[event.event_id] = event
    alone = [e for e in events if e.event_id is None and e.created_us <= time_us]
    known = [
        event
        for event in (*alone, *standing.values())
        if event.entity == entity and event.event_us <= time_us
    ]
    if not known:
        return None
    start = -math.inf if one.window_us is None else time_us - one.window_us
    if one.window_us is not None and hop_us is not None:
        start = math.floor(Fraction(int(start), hop_us)) * hop_us
    inside = [e for e in known if e.event_us > start and not _is_null(e.value)]
    inside.sort(key=lambda e: (e.event_us, e.created_us, e.event_id or "", _order(e.value)))
    return _compute(one, inside, time_us)


def _version(event: RawEvent) -> tuple[object, ...]:
    return event.created_us, event.event_us, not _is_null(event.value), _order(event.value)


def _is_null(value: Value) -> bool:
    return value is None or value != value


def _order(value: Value) -> tuple[Any, float]:
    if value is None:
        return (0, 0.0)
    return (value, math.copysign(1.0, value) if isinstance(value, float) else 0.0)


def _compute(one: WindowFeature, inside: Sequence[RawEvent], time_us: int) -> Value:
    values = [event.value for event in inside]
    of_none: dict[WindowFunction, Callable[[], Value]] = {
        WindowFunction.COUNT: lambda: len(values),
        WindowFunction.COUNT_DISTINCT: lambda: len(set(map(_order, values))),
        WindowFunction.SUM: lambda: _sum(one, values),
    }
    if one.function in of_none:
        return of_none[one.function]()
    if not values:
        return None
    of_some: dict[WindowFunction, Callable[[], Value]] = {
        WindowFunction.MIN: lambda: min(values, key=_order),
        WindowFunction.MAX: lambda: max(values, key=_order),
        WindowFunction.FIRST: lambda: values[0],
        WindowFunction.LAST: lambda: values[-1],
        WindowFunction.SINCE_FIRST: lambda: _seconds(time_us - inside[0].event_us),
        WindowFunction.SINCE_LAST: lambda: _seconds(time_us - inside[-1].event_us),
        WindowFunction.MOST_FREQUENT: lambda: _most_frequent(values),
    }
    found = of_some.get(one.function, lambda: _moments(one, values))
    return found()


def _seconds(microseconds: int) -> float:
    return _round(Fraction(microseconds, 1_000_000))


def _most_frequent(values: Sequence[Value]) -> Value:
    counts = Counter(map(_order, values))
    most = max(counts.values())
    value: Value = min(order for order, n in counts.items() if n == most)[0]
    return value


def _sum(one: WindowFeature, values: Sequence[Value]) -> Value:
    if one.type == "INT64":
        return sum(values)  # type: ignore[arg-type]
    infinite = {value for value in values if isinstance(value, float) and math.isinf(value)}
    if infinite:
        return math.nan if len(infinite) > 1 else infinite.pop()
    return _round(sum(map(Fraction, values), Fraction(0)))  # type: ignore[arg-type]


def _moments(one: WindowFeature, values: Sequence[Value]) -> Value:
    infinite = {value for value in values if isinstance(value, float) and math.isinf(value)}
    n = len(values)
    if one.function in (WindowFunction.MEAN, WindowFunction.SHARE):
        if infinite:
            return math.nan if len(infinite) > 1 else infinite.pop()
        return _round(sum(map(Fraction, values)) / n)  # type: ignore[arg-type]
    is_sample = one.function in (WindowFunction.VARIANCE, WindowFunction.DEVIATION)
    if n <= is_sample:
        return None
    if infinite:
        return math.nan
    exact = [Fraction(value) for value in values]  # type: ignore[arg-type]
    mean = sum(exact, Fraction(0)) / n
    variance = sum(((value - mean) ** 2 for value in exact), Fraction(0)) / (n - is_sample)
    is_root = one.function in (WindowFunction.DEVIATION, WindowFunction.DEVIATION_POPULATION)
    return _root(variance) if is_root else _round(variance)


def _round(exact: Fraction) -> float:
    try:
        return exact.numerator / exact.denominator
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _root(exact: Fraction) -> float:
    with localcontext() as context:
        context.prec = 800
        return float((Decimal(exact.numerator) / Decimal(exact.denominator)).sqrt())


def is_same(one: Value, other: Value) -> bool:
    """Tell whether two values are equal to the bit; a NaN is like any other."""
    if isinstance(one, float) and isinstance(other, float):
        return (one != one and other != other) or _bits(one) == _bits(other)
    return type(one) is type(other) and one == other


def _bits(value: float) -> bytes:
    return struct.pack("<d", value)
