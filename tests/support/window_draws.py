"""Random events, windows and moments, with all that makes sums and orders go wrong."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from tests.support.window_oracle import RawEvent
from zeroskew.contract.window_plan import EventInput, WindowFeature, WindowFunction, WindowPlan
from zeroskew.features.windows.event_rows import column_name

__all__ = ["Draw", "draw_windows", "event_frame"]

_WILD = (1e17, 1.0, -1e17, 0.1, -0.0, 0.0, math.inf, -math.inf, math.nan, 5e-324, 1e-300, 1.7e308)
_TEXTS = ("", "a", "b", "ab", "é", "zz")
_TYPES = {"small": "DOUBLE", "cents": "DOUBLE", "wild": "DOUBLE", "huge": "INT64", "text": "STRING"}
_NUMERIC = {
    WindowFunction.SUM,
    WindowFunction.MEAN,
    WindowFunction.SHARE,
    WindowFunction.VARIANCE,
    WindowFunction.VARIANCE_POPULATION,
    WindowFunction.DEVIATION,
    WindowFunction.DEVIATION_POPULATION,
}


@dataclass(frozen=True)
class Draw:
    """Events in the order in which they arrive, windows over them, and moments to ask for."""

    seed: int
    plan: WindowPlan
    events: Sequence[RawEvent]
    queries: Sequence[tuple[int, int]]


def draw_windows(seed: int) -> Draw:
    """Draw a case; the same for the same seed."""
    drawn = random.Random(seed)  # noqa: S311 - the same again
    span = drawn.choice([10, 1000, 10**9, 10**13])
    kind = drawn.choice(list(_TYPES))
    has_ids = drawn.random() < 0.4
    windows = [drawn.randrange(1, span + 1) for _ in range(2)] + [drawn.choice([1, 7])]
    is_endless = drawn.random() < 0.6 and not has_ids
    features = [
        WindowFeature(
            name=f"{function}_{place}",
            function=function,
            input=0,
            window_us=window,
            type=_feature_type(function, _TYPES[kind]),
        )
        for function in WindowFunction
        if kind != "text" or function not in _NUMERIC
        for place, window in enumerate((*windows, *([None] if is_endless else [])))
    ]
    hop_us = None if has_ids else drawn.choice([None, 1, 7, span // 10 + 1, span // 3 + 1])
    plan = WindowPlan(
        columns={"value": _TYPES[kind], "id": "STRING"},
        inputs=(EventInput(column="value", type=_TYPES[kind]),),
        features=tuple(features),
        hop_us=hop_us,
        event_id="id" if has_ids else None,
    )
    events = _draw_events(drawn, kind, span, has_ids=has_ids)
    times = [drawn.randrange(2 * span) for _ in range(8)]
    for event in drawn.sample(events, min(len(events), 4)):
        for window in windows:
            times += [event.event_us + window + drawn.choice([-1, 0, 1])]
        times += [event.event_us, event.created_us]
    queries = [(drawn.randrange(5), time) for time in times]
    return Draw(seed, plan, events, sorted(queries, key=lambda one: one[1]))


def _draw_events(drawn: random.Random, kind: str, span: int, *, has_ids: bool) -> list[RawEvent]:
    mode = drawn.choice(["order", "lag", "random"])
    events: list[RawEvent] = []
    for number in range(drawn.choice([0, 1, 5, 30, 80])):
        event_us = drawn.randrange(span)
        late = {"order": 0, "lag": drawn.choice([3, 3, 3, span // 3]), "random": None}[mode]
        created_us = event_us + (drawn.randrange(-span // 4, span) if late is None else late)
        event = RawEvent(
            drawn.randrange(4), event_us, created_us, str(number), _draw_value(drawn, kind)
        )
        events.append(event if has_ids and drawn.random() < 0.9 else replace(event, event_id=None))
        if has_ids and drawn.random() < 0.2:
            before = drawn.choice(events)
            again = replace(before, created_us=before.created_us + drawn.randrange(span // 4 + 1))
            if drawn.random() < 0.7:
                again = replace(again, value=_draw_value(drawn, kind))
            if drawn.random() < 0.3:
                again = replace(again, event_us=drawn.randrange(span), entity=before.entity)
            events.append(again)
    drawn.shuffle(events)
    return events


def _draw_value(drawn: random.Random, kind: str) -> int | float | str | None:
    if drawn.random() < 0.15:
        return None
    if kind == "small":
        return float(drawn.randrange(-5, 6))
    if kind == "cents":
        return drawn.randrange(10_000) / 100
    if kind == "huge":
        return drawn.choice([drawn.randrange(-9, 9), 2**53 + 1, drawn.randrange(-(2**55), 2**55)])
    if kind == "text":
        return drawn.choice(_TEXTS)
    return drawn.choice(_WILD) if drawn.random() < 0.8 else drawn.gauss(1e9, 1)


def _feature_type(function: WindowFunction, kind: str) -> str:
    if function in (WindowFunction.COUNT, WindowFunction.COUNT_DISTINCT):
        return "INT64"
    if function is WindowFunction.SUM and kind == "INT64":
        return "INT64"
    of_column = ("min", "max", "first", "last", "most_frequent")
    return kind if function.value in of_column else "DOUBLE"


def event_frame(events: Sequence[RawEvent], kind: str) -> pl.DataFrame:
    """Return events as `make_events` takes them."""
    dtype = {"DOUBLE": pl.Float64, "INT64": pl.Int64, "STRING": pl.String}[kind]
    return pl.DataFrame(
        {
            "entity": pl.Series([e.entity for e in events], dtype=pl.Int64),
            "event": pl.Series([e.event_us for e in events], dtype=pl.Int64),
            "created": pl.Series([e.created_us for e in events], dtype=pl.Int64),
            "id": pl.Series([e.event_id for e in events], dtype=pl.String),
            column_name("value"): pl.Series([e.value for e in events], dtype=dtype).fill_nan(None)
            if kind == "DOUBLE"
            else pl.Series([e.value for e in events], dtype=dtype),
        }
    )
