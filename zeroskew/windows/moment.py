"""The features of one entity at one moment, from its state: what `as_of` gives, to the bit."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate, compress
from typing import Any, Final, NamedTuple, TypeAlias

from zeroskew.contract.time.epoch import ALWAYS_US, NEVER_US
from zeroskew.contract.window_plan import WindowFeature, WindowFunction, WindowPlan
from zeroskew.windows.packed_columns import InputColumn
from zeroskew.windows.partial import (
    EventOrder,
    InputValue,
    Partial,
    dyadic,
    mean_of,
    order_of,
    sum_of,
    variance_of,
)
from zeroskew.windows.state_codec import StateCodec, StoredEvents

__all__ = ["Moment", "MomentReader", "OpenState", "StateAheadError"]

_INFINITE: Final = (float("inf"), float("-inf"))
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


class OpenState:
    """A decoded state, and what its windows have worked out of it so far."""

    __slots__ = ("_counts", "_exact", "_squares", "_sums", "folded", "stored")

    def __init__(self, stored: StoredEvents, folded: list[Partial | None]) -> None:
        self.stored, self.folded = stored, folded
        n_inputs = len(stored.columns)
        self._counts: list[list[int] | None] = [None] * n_inputs
        self._sums: list[list[int] | None] = [None] * n_inputs
        self._squares: list[list[int] | None] = [None] * n_inputs
        self._exact: list[tuple[list[int], int] | None] = [None] * n_inputs

    def counts(self, place: int) -> list[int] | None:
        """Return how many values the first events give; ``None`` where each gives one."""
        nulls = self.stored.columns[place].nulls
        if nulls is None:
            return None
        found = self._counts[place]
        if found is None:
            found = self._counts[place] = list(accumulate(nulls, _count_valid, initial=0))
        return found

    def sums(self, place: int) -> tuple[list[int], int]:
        """Return the running sums of an input's finite values, and their shift."""
        numbers, shift = self._numbers(place)
        found = self._sums[place]
        if found is None:
            found = self._sums[place] = list(accumulate(numbers, initial=0))
        return found, shift

    def squares(self, place: int) -> list[int]:
        """Return the running sums of their squares."""
        found = self._squares[place]
        if found is None:
            numbers, _ = self._numbers(place)
            found = self._squares[place] = list(accumulate((n * n for n in numbers), initial=0))
        return found

    def _numbers(self, place: int) -> tuple[Any, int]:
        column = self.stored.columns[place]
        if not column.is_double:
            return column.numbers, column.shift
        found = self._exact[place]
        if found is None:
            found = self._exact[place] = _as_exact(column)
        return found


def _count_valid(count: int, is_null: int) -> int:
    return count + 1 - is_null


def _as_exact(column: InputColumn) -> tuple[list[int], int]:
    """Return doubles as whole numbers of one unit, 0 for what is infinite."""
    parts = [(0, 0) if value in _INFINITE else dyadic(value) for value in column.numbers]
    shift = max((bits for _, bits in parts), default=0)
    return [number << (shift - bits) for number, bits in parts], shift


@dataclass(frozen=True, slots=True)
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
        column = self.column
        numbers = column.numbers[self.low : self.high]
        if column.nulls is not None:
            valid = [not null for null in column.nulls[self.low : self.high]]
            numbers = list(compress(numbers, valid))
        return [column.original(number) for number in numbers]

    def infinities(self) -> tuple[int, int]:
        above, below = 0, 0
        if self.column.is_double:
            kept = self.column.numbers[self.low : self.high]
            above, below = kept.count(_INFINITE[0]), kept.count(_INFINITE[1])
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
        found = self.present()
        if self.folded is not None and self.folded.least is not None:
            assert self.folded.greatest is not None
            found += [self.folded.least, self.folded.greatest]
        return choose(found, key=order_of) if found else None

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
        return us, us + stored.lags_us[place], stored.ids[place] if stored.ids else b""

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
        return OpenState(stored, self._codec.read_folded(stored)[0])

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
            state, until_us = _known_at(state, time_us)
            stored = state.stored
        event_us = stored.event_us
        high = bisect_right(event_us, time_us)
        newest_us = event_us[high - 1] if high else stored.newest_cut_us
        if high < len(event_us):
            until_us = min(until_us, event_us[high] - 1)
        if newest_us == NEVER_US:
            return Moment([None] * self._n_features, NEVER_US, until_us)
        lows: dict[int | None, int] = {}
        for window in self._windows:
            low = self._low(event_us, window, time_us)
            lows[window] = low
            if window is not None and low < high:
                until_us = min(until_us, self._leaves_us(event_us[low], window) - 1)
        values = []
        for feature, compute in self._features:
            window, place = feature.window_us, feature.input
            folded = state.folded[place] if window is None else None
            one = _Slice(state, place, lows[window], high, folded, time_us)
            values.append(compute(one, feature))
        newest_us = max(newest_us, stored.newest_cut_us)
        return Moment(values, newest_us, time_us if self._is_elapsing else until_us)

    def _low(self, event_us: Any, window: int | None, time_us: int) -> int:
        if window is None:
            return 0
        start = time_us - window
        if self._hop_us is not None:
            start = start // self._hop_us * self._hop_us
        return bisect_right(event_us, start)

    def _leaves_us(self, event_us: int, window_us: int) -> int:
        """Return the first moment at which a window no longer holds an event."""
        if self._hop_us is not None:
            event_us = -(-event_us // self._hop_us) * self._hop_us
        return event_us + window_us


def _known_at(state: OpenState, time_us: int) -> tuple[OpenState, int]:
    """Return a state without the events that are created later, and until when that holds."""
    stored = state.stored
    created = stored.created_us()
    known = [us <= time_us for us in created]
    columns = [
        InputColumn(
            _keep(column.numbers, known),
            column.shift,
            None if column.nulls is None else bytes(compress(column.nulls, known)),
            column.is_scaled,
            column.is_double,
        )
        for column in stored.columns
    ]
    kept = replace(
        stored,
        last_created_us=time_us,
        event_us=_keep(stored.event_us, known),
        lags_us=_keep(stored.lags_us, known),
        ids=list(compress(stored.ids, known)),
        columns=columns,
    )
    return OpenState(kept, state.folded), min(us for us in created if us > time_us) - 1


def _keep(numbers: Any, known: list[bool]) -> Any:
    kept = compress(numbers, known)
    return list(kept) if isinstance(numbers, list) else type(numbers)(numbers.typecode, kept)
