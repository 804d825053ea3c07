"""The features of one entity at one moment, from its state: what `as_of` gives, to the bit."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Final, NamedTuple, TypeAlias

from zeroskew.contract.time.epoch import ALWAYS_US, NEVER_US
from zeroskew.contract.window_plan import WindowFeature, WindowFunction, WindowPlan
from zeroskew.windows.hops import hop_from, hop_until
from zeroskew.windows.open_state import INFINITE, OpenState
from zeroskew.windows.packed_columns import InputColumn
from zeroskew.windows.partial import (
    EventOrder,
    InputValue,
    Partial,
    mean_of,
    order_of,
    sum_of,
    variance_of,
)
from zeroskew.windows.state_codec import StateCodec

__all__ = ["Moment", "MomentReader", "StateAheadError"]

_WORD: Final = 1 << 63


class StateAheadError(ValueError):
    """A state no longer has what was asked for: it was written for later moments."""


class Moment(NamedTuple):
    """What is known of an entity.

    Parameters
    ----------
    values
        The features in the order of the plan, ``None`` for a null; an instant is microseconds.
    newest_us
        The event time of the newest event, ``NEVER_US`` before the first.
    until_us
        The last moment at which all of that still holds, if nothing is written.
    """

    values: list[InputValue | None]
    newest_us: int
    until_us: int


@dataclass(slots=True, eq=False)
class _Slice:
    """The values of an input in one window: of kept events and, without a beginning, of older."""

    state: OpenState
    place: int
    low: int
    high: int
    folded: Partial | None
    time_us: int

    @property
    def column(self) -> InputColumn:
        return self.state.stored.columns[self.place]

    def count(self) -> int:
        counts = self.state.counts(self.place)
        kept = self.high - self.low if counts is None else counts[self.high] - counts[self.low]
        return kept if self.folded is None else kept + self.folded.count

    def present(self) -> list[InputValue]:
        """Return the values of kept events."""
        return [self.column.original(number) for number in self._numbers()]

    def _numbers(self) -> Sequence[Any]:
        column = self.column
        numbers: Sequence[Any] = column.numbers[self.low : self.high]
        if column.nulls is not None:
            valid = [not null for null in column.nulls[self.low : self.high]]
            numbers = list(compress(numbers, valid))
        return numbers

    def infinities(self) -> tuple[int, int]:
        above, below = 0, 0
        if self.column.is_double:
            kept = self.column.numbers[self.low : self.high]
            above, below = kept.count(INFINITE[0]), kept.count(INFINITE[1])
        if self.folded is not None:
            above, below = above + self.folded.above, below + self.folded.below
        return above, below

    def total(self) -> tuple[int, int]:
        """Return the exact sum of the finite values and its shift."""
        sums, shift = self.state.sums(self.place)
        kept = sums[self.high] - sums[self.low]
        if self.folded is None:
            return kept, shift
        common = max(shift, self.folded.shift)
        return (kept << (common - shift)) + (
            self.folded.sum << (common - self.folded.shift)
        ), common

    def total_of_squares(self) -> int:
        squares = self.state.squares(self.place)
        kept = squares[self.high] - squares[self.low]
        if self.folded is None:
            return kept
        shift = self.state.sums(self.place)[1]
        common = max(shift, self.folded.shift)
        kept <<= 2 * (common - shift)
        return kept + (self.folded.squares << (2 * (common - self.folded.shift)))

    def extreme(self, choose: Callable[..., Any]) -> InputValue | None:
        column = self.column
        found: list[InputValue]
        if column.is_double:
            found = self.present()
        else:
            # Neither text nor whole numbers have two zeros: they are compared as they are.
            numbers = self._numbers()
            found = [column.original(choose(numbers))] if numbers else []
        if self.folded is not None and self.folded.least is not None:
            assert self.folded.greatest is not None
            found += [self.folded.least, self.folded.greatest]
        if len(found) > 1:
            return choose(found, key=order_of)  # type: ignore[no-any-return]  # one of them
        return found[0] if found else None

    def end(self, *, is_last: bool) -> tuple[EventOrder, InputValue] | None:
        """Return the order and the value of the first or last event that gives one."""
        places = range(self.high - 1, self.low - 1, -1) if is_last else range(self.low, self.high)
        column, choose = self.column, max if is_last else min
        found: list[tuple[EventOrder, InputValue]] = []
        for place in places:
            if found and self.state.stored.event_us[place] != found[0][0][0]:
                break
            value = column.value(place)
            if value is not None:
                found.append((self._order(place), value))
        if self.folded is not None:
            end = self.folded.last if is_last else self.folded.first
            found += [] if end is None else [end]
        return choose(found, key=lambda one: (one[0], order_of(one[1]))) if found else None

    def _order(self, place: int) -> EventOrder:
        stored = self.state.stored
        us = stored.event_us[place]
        # Events without an id of their own are told apart by one that has no say in the order.
        event_id = stored.ids[place] if self.state.has_ids else b""
        return us, us + stored.lags_us[place], event_id

    def times(self) -> Counter[tuple[InputValue, float]]:
        found = Counter(map(order_of, self.present()))
        if self.folded is not None and self.folded.times is not None:
            found += self.folded.times
        return found


def _sum(one: _Slice, feature: WindowFeature) -> InputValue:
    total, shift = one.total()
    if feature.type == "DOUBLE":
        return sum_of(total, shift, *one.infinities())
    if not -_WORD <= total < _WORD:
        raise OverflowError(
            f"Got a sum beyond 64 bits for {feature.name!r}, but expected whole numbers whose sum "
            "is within; declare it Float64"
        )
    return total


def _mean(one: _Slice, _: WindowFeature) -> InputValue | None:
    return mean_of(one.count(), *one.total(), *one.infinities())


def _variance(less: int, *, root: bool) -> _Function:
    def compute(one: _Slice, _: WindowFeature) -> InputValue | None:
        total, shift = one.total()
        squares, has_infinite = one.total_of_squares(), any(one.infinities())
        return variance_of(
            one.count(), total, squares, shift, less=less, has_infinite=has_infinite, root=root
        )

    return compute


def _end(*, is_last: bool, seconds: bool) -> _Function:
    def compute(one: _Slice, _: WindowFeature) -> InputValue | None:
        end = one.end(is_last=is_last)
        if end is None:
            return None
        return (one.time_us - end[0][0]) / 1_000_000 if seconds else end[1]

    return compute


def _most_frequent(one: _Slice, _: WindowFeature) -> InputValue | None:
    times = one.times()
    if not times:
        return None
    most = max(times.values())
    return min(value for value, n in times.items() if n == most)[0]


_Function: TypeAlias = Callable[[_Slice, WindowFeature], InputValue | None]
_FUNCTIONS: Final[dict[WindowFunction, _Function]] = {
    WindowFunction.COUNT: lambda one, _: one.count(),
    WindowFunction.SUM: _sum,
    WindowFunction.MEAN: _mean,
    WindowFunction.SHARE: _mean,
    WindowFunction.MIN: lambda one, _: one.extreme(min),
    WindowFunction.MAX: lambda one, _: one.extreme(max),
    WindowFunction.VARIANCE: _variance(1, root=False),
    WindowFunction.VARIANCE_POPULATION: _variance(0, root=False),
    WindowFunction.DEVIATION: _variance(1, root=True),
    WindowFunction.DEVIATION_POPULATION: _variance(0, root=True),
    WindowFunction.FIRST: _end(is_last=False, seconds=False),
    WindowFunction.LAST: _end(is_last=True, seconds=False),
    WindowFunction.SINCE_FIRST: _end(is_last=False, seconds=True),
    WindowFunction.SINCE_LAST: _end(is_last=True, seconds=True),
    WindowFunction.COUNT_DISTINCT: lambda one, _: len(one.times()),
    WindowFunction.MOST_FREQUENT: _most_frequent,
}
_ELAPSING: Final = (WindowFunction.SINCE_FIRST, WindowFunction.SINCE_LAST)


class MomentReader:
    """Reads the states of a view at any moment.

    Parameters
    ----------
    plan
        The view's windows.
    features
        Those that are asked for.
    """

    def __init__(self, plan: WindowPlan, features: tuple[WindowFeature, ...] | None = None) -> None:
        self._codec = StateCodec(plan)
        self._hop_us = plan.hop_us
        self._has_ids = plan.event_id is not None
        chosen = plan.features if features is None else features
        self._features = [(one, _FUNCTIONS[one.function]) for one in chosen]
        self._windows = list(dict.fromkeys(one.window_us for one in chosen))
        self._is_elapsing = any(one.function in _ELAPSING for one in chosen)
        self._n_features = len(chosen)

    def open(self, data: bytes) -> OpenState:
        """Return a state that values can be computed of.

        Raises
        ------
        StateBytesError
            If the bytes are damaged, or of other windows.
        """
        stored = self._codec.decode(data)
        return OpenState(stored, self._codec.read_folded(stored), has_ids=self._has_ids)

    def read(self, state: OpenState, time_us: int) -> Moment:
        """Compute the features at a moment.

        Raises
        ------
        StateAheadError
            If the state was written for later moments only.
        OverflowError
            If a sum of whole numbers is beyond 64 bits.
        """
        stored = state.stored
        if time_us < stored.since_us:
            raise StateAheadError(
                "Got a moment before the one for which the state was written, but expected a later"
            )
        until_us = ALWAYS_US
        if stored.last_created_us > time_us:
            state, until_us = state.known_at(time_us)
            stored = state.stored
        event_us = stored.event_us
        high = bisect_right(event_us, time_us)
        newest_us = event_us[high - 1] if high else stored.newest_cut_us
        if high < len(event_us):
            until_us = min(until_us, event_us[high] - 1)
        if newest_us == NEVER_US:
            return Moment([None] * self._n_features, NEVER_US, until_us)
        starts = {window: self._start(window, time_us) for window in self._windows}
        lows = {
            window: 0 if start is None else bisect_right(event_us, start)
            for window, start in starts.items()
        }
        values = []
        for feature, compute in self._features:
            window, place = feature.window_us, feature.input
            folded = state.behind(place, starts[window])
            one = _Slice(state, place, lows[window], high, folded, time_us)
            values.append(compute(one, feature))
        newest_us = max(newest_us, stored.newest_cut_us)
        if self._is_elapsing:
            return Moment(values, newest_us, time_us)
        for window, start in starts.items():
            if window is not None and start is not None:
                next_us = self._next_change(state, window, start, lows[window])
                until_us = min(until_us, next_us - 1)
        return Moment(values, newest_us, until_us)

    def _start(self, window_us: int | None, time_us: int) -> int | None:
        if window_us is None:
            return None
        return hop_until(time_us - window_us, self._hop_us)

    def _next_change(self, state: OpenState, window_us: int, start_us: int, low: int) -> int:
        """Return when a window begins behind the first that it holds."""
        event_us, tile_ends = state.stored.event_us, state.tile_ends
        leaves = [ALWAYS_US]
        if low < len(event_us):
            leaves.append(self._leaves_us(event_us[low], window_us))
        if (first := bisect_right(tile_ends, start_us)) < len(tile_ends):
            leaves.append(tile_ends[first] + window_us)
        return min(leaves)

    def _leaves_us(self, event_us: int, window_us: int) -> int:
        """Return the first moment at which a window no longer holds an event."""
        return hop_from(event_us, self._hop_us) + window_us
