"""The features of a windowed view as of many moments, from raw events: the one kernel.

Arrays in, arrays out: training's join, backfill and Spark call it with the events of some
entities; which others there are has no say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.contract.window_plan import WindowFeature, WindowFunction, WindowPlan
from zeroskew.windows.aggregate import InputSums, InputWindows
from zeroskew.windows.events import Events, InputValues
from zeroskew.windows.exact import WORD_BITS, Numbers, divide_all, sqrt_ratio
from zeroskew.windows.spans import EntityTimes, Queries, WindowSpans

__all__ = ["FeatureValues", "WindowSumError", "WindowValues", "windows_as_of"]

_MICROSECONDS: Final = 1_000_000


class WindowSumError(ValueError):
    """A sum of whole numbers is beyond 64 bits."""


@dataclass(frozen=True)
class FeatureValues:
    """A feature of each query.

    Parameters
    ----------
    values
        int64 or float64, shape ``(n_queries,)``; of text the codes of the input's `text`.
    valid
        bool: where it is not null.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class WindowValues:
    """What a view knows at each query.

    Parameters
    ----------
    features
        In the order of the plan. All are null where the entity has no event yet.
    newest_us
        int64, shape ``(n_queries,)``: the event time of the newest event, ``NEVER_US`` for none.
    """

    features: tuple[FeatureValues, ...]
    newest_us: NDArray[np.int64]


def windows_as_of(plan: WindowPlan, events: Events, queries: Queries) -> WindowValues:
    """Compute a view's features as of each query's time.

    Parameters
    ----------
    plan
        The view's windows.
    events
        Events, of the queried entities or of more.
    queries
        Entities and times.

    Returns
    -------
    WindowValues

    Raises
    ------
    WindowSumError
        If a sum of whole numbers is beyond 64 bits; the message names the feature.
    """
    times = EntityTimes(events, queries)
    n_queries = len(queries)
    newest = times.newest()
    windows: dict[int | None, WindowSpans] = {}
    sums = [InputSums(values, times.layers) for values in events.inputs]
    found = []
    for feature in plan.features:
        if feature.window_us not in windows:
            windows[feature.window_us] = times.window(feature.window_us, plan.hop_us)
        of_input = InputWindows(sums[feature.input], windows[feature.window_us], n_queries)
        values = events.inputs[feature.input]
        one = _Feature(feature, values, of_input, events, queries).compute()
        found.append(FeatureValues(one.values, one.valid & (newest >= 0)))
    return WindowValues(tuple(found), _pick(events.event_us, newest, NEVER_US))


def _pick(values: NDArray[np.int64], places: NDArray[np.intp], absent: int) -> NDArray[np.int64]:
    if not len(values):
        return np.full(len(places), absent)
    return np.where(places >= 0, values[places], absent)


@dataclass(frozen=True)
class _Feature:
    feature: WindowFeature
    values: InputValues
    windows: InputWindows
    events: Events
    queries: Queries

    def compute(self) -> FeatureValues:
        return _FUNCTIONS[self.feature.function](self)

    def count(self) -> FeatureValues:
        return _all_valid(self.windows.count())

    def distinct(self) -> FeatureValues:
        return _all_valid(self.windows.distinct())

    def sum(self) -> FeatureValues:
        sums = self.windows.sums()
        if self.feature.type == "INT64":
            return _all_valid(self._whole(sums))
        ones = np.ones(len(sums), np.int64)
        return _all_valid(self._with_infinities(divide_all(sums, ones, self.values.scaled.shift)))

    def mean(self) -> FeatureValues:
        counts = self.windows.count()
        means = divide_all(self.windows.sums(), counts, self.values.scaled.shift)
        return FeatureValues(self._with_infinities(means), counts > 0)

    def variance(self) -> FeatureValues:
        above, below, valid = self._squares()
        result = divide_all(above, below, 2 * self.values.scaled.shift)
        return FeatureValues(self._nan_with_infinities(result), valid)

    def deviation(self) -> FeatureValues:
        above, below, valid = self._squares()
        shift = 2 * self.values.scaled.shift
        result = np.zeros(len(valid))
        places = np.flatnonzero(valid)
        pairs = zip(above[places].tolist(), below[places].tolist(), strict=True)
        result[places] = [sqrt_ratio(one, other, shift) for one, other in pairs]
        return FeatureValues(self._nan_with_infinities(result), valid)

    def least(self) -> FeatureValues:
        return self._original(self.windows.least())

    def greatest(self) -> FeatureValues:
        return self._original(self.windows.greatest())

    def most_frequent(self) -> FeatureValues:
        return self._original(self.windows.most_frequent())

    def first(self) -> FeatureValues:
        return self._at(self.windows.first())

    def last(self) -> FeatureValues:
        return self._at(self.windows.last())

    def since_first(self) -> FeatureValues:
        return self._since(self.windows.first())

    def since_last(self) -> FeatureValues:
        return self._since(self.windows.last())

    def _whole(self, sums: Numbers) -> NDArray[np.int64]:
        try:
            return sums.astype(np.int64)
        except OverflowError as error:
            raise WindowSumError(
                f"Got a sum beyond 64 bits for feature {self.feature.name!r}, but expected whole "
                "numbers whose sum is within; declare it Float64"
            ) from error

    def _squares(self) -> tuple[Numbers, Numbers, NDArray[np.bool_]]:
        """Return what a variance is above and below the line, and where there is one."""
        counts, sums = self.windows.count(), self.windows.sums()
        squares = self.windows.sums_of_squares()
        valid = counts > (1 if self.feature.function in _OF_SAMPLES else 0)
        limit = 1 << (WORD_BITS // 2)
        narrow = sums.dtype != object and squares.dtype != object
        if not narrow or max(abs(sums).max(initial=0), squares.max(initial=0)) >= limit:
            counts, sums, squares = (one.astype(object) for one in (counts, sums, squares))
        less = 1 if self.feature.function in _OF_SAMPLES else 0
        return counts * squares - sums * sums, np.where(valid, counts * (counts - less), 0), valid

    def _with_infinities(self, result: NDArray[np.float64]) -> NDArray[np.float64]:
        if (found := self.windows.infinities()) is None:
            return result
        above, below = found
        result[above > 0] = np.inf
        result[below > 0] = -np.inf
        result[(above > 0) & (below > 0)] = np.nan
        return result

    def _nan_with_infinities(self, result: NDArray[np.float64]) -> NDArray[np.float64]:
        if (found := self.windows.infinities()) is not None:
            result[(found[0] > 0) | (found[1] > 0)] = np.nan
        return result

    def _original(self, ordered: NDArray[np.int64]) -> FeatureValues:
        valid = self.windows.count() > 0
        return FeatureValues(self.windows.original(np.where(valid, ordered, 0)), valid)

    def _at(self, places: NDArray[np.intp]) -> FeatureValues:
        if not len(self.values.values):
            return FeatureValues(np.zeros(len(places), self.values.values.dtype), places >= 0)
        return FeatureValues(self.values.values[places], places >= 0)

    def _since(self, places: NDArray[np.intp]) -> FeatureValues:
        then = _pick(self.events.event_us, places, 0)
        elapsed = np.where(places >= 0, self.queries.time_us - then, 0)
        seconds = np.full(len(places), _MICROSECONDS)
        return FeatureValues(divide_all(elapsed, seconds, 0), places >= 0)


def _all_valid(values: NDArray[Any]) -> FeatureValues:
    return FeatureValues(values, np.ones(len(values), np.bool_))


_OF_SAMPLES: Final = (WindowFunction.VARIANCE, WindowFunction.DEVIATION)
_FUNCTIONS: Final[dict[WindowFunction, Callable[[_Feature], FeatureValues]]] = {
    WindowFunction.COUNT: _Feature.count,
    WindowFunction.SUM: _Feature.sum,
    WindowFunction.MEAN: _Feature.mean,
    WindowFunction.SHARE: _Feature.mean,
    WindowFunction.MIN: _Feature.least,
    WindowFunction.MAX: _Feature.greatest,
    WindowFunction.VARIANCE: _Feature.variance,
    WindowFunction.VARIANCE_POPULATION: _Feature.variance,
    WindowFunction.DEVIATION: _Feature.deviation,
    WindowFunction.DEVIATION_POPULATION: _Feature.deviation,
    WindowFunction.FIRST: _Feature.first,
    WindowFunction.LAST: _Feature.last,
    WindowFunction.SINCE_FIRST: _Feature.since_first,
    WindowFunction.SINCE_LAST: _Feature.since_last,
    WindowFunction.COUNT_DISTINCT: _Feature.distinct,
    WindowFunction.MOST_FREQUENT: _Feature.most_frequent,
}
