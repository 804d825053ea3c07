"""Which events each window holds: runs of neighbours, and single ones that came out of order.

Events of an entity that became known in the order in which they happened are neighbours in a
window, wherever it begins and ends. So events are split into layers of such; few layers hold all
but what came in no order at all. What is left, and what a correction has replaced, is paired with
its windows one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zeroskew.contract.time.epoch import ALWAYS_US, NEVER_US
from zeroskew.windows.events import Events
from zeroskew.windows.hops import hop_from, hop_until

__all__ = [
    "EntityTimes",
    "Layer",
    "LayerSpan",
    "Pairs",
    "Queries",
    "TimeKeys",
    "WindowSpans",
    "expand_in_parts",
]

_MOST_LAYERS: Final = 6
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Queries:
    """Entities and times that are asked for, in the order of entity and time.

    Parameters
    ----------
    entity
        int64, shape ``(n_queries,)``, ascending: the numbers of `Events`, or others.
    time_us
        int64, ascending within an entity: microseconds since the Unix epoch.
    """

    entity: NDArray[np.int64]
    time_us: NDArray[np.int64]

    def __len__(self) -> int:
        """How many queries there are."""
        return len(self.entity)


@dataclass(frozen=True)
class Layer:
    """Events that became known in the order in which they happened: their places, ascending."""

    places: Indices


@dataclass(frozen=True)
class LayerSpan:
    """For each query its events of a layer: those from ``low`` on and before ``high``."""

    layer: Layer
    low: Indices
    high: Indices


@dataclass(frozen=True)
class Pairs:
    """Queries and the places of events that their windows hold, beside those of spans."""

    query: Indices
    place: Indices


@dataclass(frozen=True)
class WindowSpans:
    """The events in one window of each query."""

    spans: tuple[LayerSpan, ...]
    pairs: Pairs


class EntityTimes:
    """Finds the events of each query's windows.

    Parameters
    ----------
    events
        All events.
    queries
        All queries.
    """

    def __init__(self, events: Events, queries: Queries) -> None:
        self._events, self._queries = events, queries
        self._keys = TimeKeys(events, queries)
        self._event_keys = self._keys.of_events(events.event_us)
        self._known_keys = self._event_keys
        if events.known_us is not events.event_us:
            self._known_keys = self._keys.of_events(events.known_us)
        self.layers, scattered = self._split()
        self._scattered = _ScatteredEvents(events, queries, scattered)
        until = self._keys.after(0, None)
        self._high = [_find(_take(self._known_keys, one.places), until) for one in self.layers]

    def window(self, window_us: int | None, hop_us: int | None) -> WindowSpans:
        """Return the events in a window that ends at each query's time."""
        first = self._keys.after(window_us, hop_us)
        spans = []
        for layer, high in zip(self.layers, self._high, strict=True):
            low = _find(_take(self._event_keys, layer.places), first)
            spans.append(LayerSpan(layer, low, np.maximum(low, high)))
        return WindowSpans(tuple(spans), self._scattered.pair(window_us, hop_us))

    def newest(self) -> Indices:
        """Return the place of the last event that each query knows, -1 where there is none."""
        newest = np.full(len(self._queries), -1)
        entity = self._queries.entity
        for layer, high in zip(self.layers, self._high, strict=True):
            place = layer.places[np.maximum(high - 1, 0)]
            is_own = (high > 0) & (self._events.entity[place] == entity)
            np.maximum(newest, np.where(is_own, place, -1), out=newest)
        pairs = self._scattered.pair(None, None)
        np.maximum.at(newest, pairs.query, pairs.place)
        return newest

    def _split(self) -> tuple[tuple[Layer, ...], Indices]:
        events = self._events
        left = np.arange(len(events))
        scattered = left[:0]
        if events.until_us is not None:
            stands = events.until_us == ALWAYS_US
            left, scattered = left[stands], left[~stands]
        layers: list[Layer] = []
        while len(left) and len(layers) < _MOST_LAYERS:
            known = _take(self._known_keys, left)
            # An event is in order if none that happened later became known before it.
            least = np.minimum.accumulate(known[::-1])[::-1]
            ordered = np.append(known[:-1] <= least[1:], True)
            if ordered.all():
                layers.append(Layer(left))
                left = left[:0]
                break
            layers.append(Layer(left[ordered]))
            left = left[~ordered]
        return tuple(layers), np.concatenate([left, scattered])


class _ScatteredEvents:
    """Events that no layer holds; they are paired with each query whose window holds them."""

    def __init__(self, events: Events, queries: Queries, places: Indices) -> None:
        self._places = places
        if not len(places):
            return
        self._event_us = events.event_us[places]
        self._end = np.full(len(places), ALWAYS_US)
        if events.until_us is not None:
            self._end = events.until_us[places]
        self._times = np.unique(queries.time_us)
        radix = len(self._times) + 1
        self._keys = queries.entity * radix + np.searchsorted(self._times, queries.time_us)
        self._base = events.entity[places] * radix
        self._low = self._find(events.known_us[places])

    def pair(self, window_us: int | None, hop_us: int | None) -> Pairs:
        """Return each of the events with every query whose window holds it."""
        if not len(self._places):
            return Pairs(self._places, self._places)
        end = self._end
        if window_us is not None:
            end = np.minimum(end, hop_from(self._event_us, hop_us) + window_us)
        rows, query = expand(self._low, np.maximum(self._low, self._find(end)))
        return Pairs(query, self._places[rows])

    def _find(self, time_us: NDArray[np.int64]) -> Indices:
        """Return of each event its entity's first query at a time of its own, or later."""
        return np.searchsorted(self._keys, self._base + np.searchsorted(self._times, time_us))


class TimeKeys:
    """Entity and time as one number that sorts like both.

    Times are counted in the coarsest unit that loses nothing. Where 62 bits do not hold all of
    them for each entity, their ranks stand for them.

    Parameters
    ----------
    events, queries
        All of them.
    """

    def __init__(self, events: Events, queries: Queries) -> None:
        self._entity, self._queries = events.entity, queries
        columns = [events.event_us]
        if events.known_us is not events.event_us:
            columns.append(events.known_us)
        n_entities = 1 + max(
            (int(one.entity[-1]) for one in (events, queries) if len(one)), default=0
        )
        self._first = min((int(one.min()) for one in columns if len(one)), default=0)
        last = max((int(one.max()) for one in columns if len(one)), default=0)
        self._unit = next(unit for unit in _UNITS_US if _has_unit(columns, self._first, unit))
        self._radix = (last - self._first) // self._unit + 2
        self._times: NDArray[np.int64] | None = None
        self._since: NDArray[np.int64] | None = None
        if n_entities * self._radix >= _MOST_KEYS:
            times = np.sort(np.concatenate(columns))
            self._times = times[np.append(True, times[1:] != times[:-1])]
            self._radix = len(self._times) + 1
        self._base = queries.entity * self._radix

    def of_events(self, time_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the keys of events at the times of a column of theirs."""
        return self._entity * self._radix + self._place(time_us) - 1

    def after(self, window_us: int | None, hop_us: int | None) -> NDArray[np.int64]:
        """Return of each query what the keys of events are less than that its window is behind.

        A window of 0 microseconds is behind all up to the query's time.
        """
        time_us = self._queries.time_us
        if self._times is None and hop_us is None and window_us is not None:
            if self._since is None:
                self._since = (time_us - self._first) // self._unit + 1
            if window_us % self._unit == 0:
                places = np.clip(self._since - window_us // self._unit, 0, self._radix - 1)
                return self._base + places
        if window_us is None:
            return self._base + self._place(np.full(len(time_us), NEVER_US))
        return self._base + self._place(hop_until(time_us - window_us, hop_us))

    def _place(self, time_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many of the times there may be are not later."""
        if self._times is not None:
            return np.searchsorted(self._times, time_us, side="right")
        # Far beyond on either side is as good as just beyond, and does not overflow.
        since = np.maximum(time_us, self._first - self._unit) - self._first
        places: NDArray[np.int64] = np.minimum(since // self._unit + 1, self._radix - 1)
        return places


_UNITS_US: Final = (60_000_000, 1_000_000, 1_000, 1)
_MOST_KEYS: Final = 1 << 62
_BLOCK: Final = 4096


def _has_unit(columns: list[NDArray[np.int64]], first: int, unit: int) -> bool:
    return unit == 1 or not any(((one - first) % unit).any() for one in columns)


def _find(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> Indices:
    """Return `numpy.searchsorted` of ascending keys, block by block, which stay in the cache."""
    found = np.empty(len(wanted), np.intp)
    edges = np.append(np.searchsorted(keys, wanted[::_BLOCK]), len(keys)).tolist()
    for begin, (low, high) in zip(range(0, len(wanted), _BLOCK), pairwise(edges), strict=True):
        block = slice(begin, begin + _BLOCK)
        np.add(np.searchsorted(keys[low:high], wanted[block]), low, out=found[block])
    return found


def _take(values: NDArray[np.int64], places: Indices) -> NDArray[np.int64]:
    return values if len(places) == len(values) else values[places]


def expand(low: Indices, high: Indices) -> tuple[Indices, Indices]:
    """Return the numbers of each range from ``low`` to before ``high``, and whose they are.

    >>> expand(np.array([5, 0]), np.array([7, 1]))
    (array([0, 0, 1]), array([5, 6, 0]))
    """
    sizes = high - low
    owner = np.repeat(np.arange(len(low)), sizes)
    starts = np.cumsum(sizes) - sizes
    return owner, np.arange(len(owner)) - starts[owner] + low[owner]


def expand_in_parts(
    window: WindowSpans, n_queries: int, at_once: int
) -> Iterator[tuple[int, Indices, Indices]]:
    """Yield all events of some queries at a time.

    Yields
    ------
    tuple
        The first query, then for each event that one of them holds the query, counted from the
        first, and the event's place.
    """
    sizes = np.zeros(n_queries, np.int64)
    for span in window.spans:
        sizes += span.high - span.low
    np.add.at(sizes, window.pairs.query, 1)
    ends = np.cumsum(sizes)
    order = np.argsort(window.pairs.query, kind="stable")
    paired = window.pairs.query[order]
    begin = 0
    while begin < n_queries:
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + at_once, side="right")))
        queries, places = [], []
        for span in window.spans:
            owner, index = expand(span.low[begin:end], span.high[begin:end])
            queries.append(owner)
            places.append(span.layer.places[index])
        chosen = order[np.searchsorted(paired, begin) : np.searchsorted(paired, end)]
        queries.append(window.pairs.query[chosen] - begin)
        places.append(window.pairs.place[chosen])
        yield begin, np.concatenate(queries), np.concatenate(places)
        begin = end
