"""Drawn windows, computed by the kernel and by states, against exact arithmetic."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.support.window_draws import Draw, draw_windows, event_frame
from tests.support.window_oracle import RawEvent, expected_value, is_same
from zeroskew.features.windows.event_rows import make_events
from zeroskew.windows.as_of import FeatureValues, WindowValues, windows_as_of
from zeroskew.windows.events import Events
from zeroskew.windows.moment import MomentReader
from zeroskew.windows.spans import Queries
from zeroskew.windows.state import Event
from zeroskew.windows.state_codec import StateCodec

__all__ = ["check_kernel", "check_states"]


def check_kernel(seed: int) -> int:
    """Compare each cell of a drawn case as the kernel gives it; return how many there are."""
    draw, n_cells = draw_windows(seed), 0
    found = _offline(draw)
    for number, (entity, time_us) in enumerate(_sorted_queries(draw)):
        for place, one in enumerate(draw.plan.features):
            expected = expected_value(draw.events, entity, time_us, one, draw.plan.hop_us)
            text = found.text if one.type == "STRING" else None
            got = _cell(found.features[place], number, text)
            assert is_same(got, expected), (seed, one, entity, time_us, got, expected)
            n_cells += 1
    return n_cells


def check_states(seed: int) -> int:
    """Do the same with states that are made event by event, in any order, stored in between."""
    draw, n_cells = draw_windows(seed), 0
    for entity, time_us, values in _online(draw):
        for one, got in zip(draw.plan.features, values, strict=True):
            expected = expected_value(draw.events, entity, time_us, one, draw.plan.hop_us)
            assert is_same(got, expected), (seed, one, entity, time_us, got, expected)
            n_cells += 1
    return n_cells


class _Found:
    def __init__(self, values: WindowValues, events: Events) -> None:
        self.features = values.features
        self.text = events.inputs[0].text


def _offline(draw: Draw) -> _Found:
    rows = event_frame(draw.events, draw.plan.inputs[0].type)
    events = make_events(rows, draw.plan, created_cutoff=True)
    queries = _sorted_queries(draw)
    asked = Queries(
        np.array([entity for entity, _ in queries], np.int64),
        np.array([time_us for _, time_us in queries], np.int64),
    )
    return _Found(windows_as_of(draw.plan, events, asked), events)


def _sorted_queries(draw: Draw) -> list[tuple[int, int]]:
    return sorted(draw.queries)


def _cell(one: FeatureValues, number: int, text: np.ndarray | None) -> int | float | str | None:
    if not one.valid[number]:
        return None
    value = one.values[number].item()
    return value if text is None else text[value]


def _online(draw: Draw) -> Iterator[tuple[int, int, list[Any]]]:
    drawn = random.Random(draw.seed)  # noqa: S311 - the same again
    codec, reader = StateCodec(draw.plan), MomentReader(draw.plan)
    stored: dict[int, bytes] = {}
    waiting = list(draw.events)
    for entity, time_us in draw.queries:
        # Of an event with versions only what is known by now comes in.
        is_free = draw.plan.event_id is None
        batch: list[RawEvent] = []
        later: list[RawEvent] = []
        for event in waiting:
            is_early = is_free and drawn.random() < 0.2
            (batch if event.created_us <= time_us or is_early else later).append(event)
        waiting = later
        drawn.shuffle(batch)
        if not is_free:
            # Versions come one after the other.
            batch.sort(key=lambda event: event.created_us)
        for event in batch:
            # Each event is a batch of its own, after a restart.
            state = codec.open(stored.get(event.entity))
            now_us = drawn.choice([event.created_us, time_us, time_us])
            one = Event(
                event.event_us,
                event.created_us,
                (event.event_id or "").encode(),
                (None if event.value != event.value else event.value,),
            )
            state.add([one], draw.plan, min(now_us, time_us))
            stored[event.entity] = codec.encode(state)
        data = stored.get(entity)
        if data is None:
            yield entity, time_us, [None] * len(draw.plan.features)
            continue
        yield entity, time_us, reader.read(reader.open(data), time_us).values
