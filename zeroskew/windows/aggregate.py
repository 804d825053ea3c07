"""One function of one input over the windows of many queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zeroskew.windows.events import InputValues, unordered_bits
from zeroskew.windows.exact import WORD_BITS, Numbers
from zeroskew.windows.spans import Layer, LayerSpan, WindowSpans, expand_in_parts

__all__ = ["InputSums", "InputWindows"]

_LIMB_BITS: Final = 32
_AT_ONCE: Final = 4_000_000
"""How many events are listed one by one at a time."""

_LEAST: Final = np.int64(-(2**63))
_GREATEST: Final = np.int64(2**63 - 1)
Indices = NDArray[np.intp]


class InputSums:
    """Running sums over the values of an input, worked out once for all windows.

    Parameters
    ----------
    values
        The input's values of all events.
    layers
        In which order they are summed.
    """

    def __init__(self, values: InputValues, layers: Sequence[Layer]) -> None:
        self.values = values
        self._layers = layers
        self._running: dict[str, list[list[Numbers]]] = {}
        self._numbers: dict[str, Numbers] = {}

    def total(self, what: str, window: WindowSpans, n_queries: int) -> Numbers:
        """Return the exact sum over all events in each query's window.

        What lies between two points of a running sum is their difference: of whole numbers
        without error, so that it equals the sum of what lies there.

        Parameters
        ----------
        what
            ``count``, ``sum``, ``squares``, ``above`` or ``below``.
        window
            Which events are summed.
        n_queries
            How many queries there are.

        Returns
        -------
        ndarray
            int64 where that surely holds the sums, else Python's numbers.
        """
        limbs = self._limbs(what)
        totals = [_between(limb, window, n_queries) for limb in limbs]
        numbers = self._numbers[what]
        total = totals[0]
        if len(totals) > 1:
            total = (totals[1].astype(object) << _LIMB_BITS) + totals[0].astype(object)
        pairs = window.pairs
        if len(pairs.query):
            np.add.at(total, pairs.query, numbers[pairs.place])
        return total

    def _limbs(self, what: str) -> list[list[Numbers]]:
        """Return running sums for each limb of the numbers and each layer."""
        if what not in self._running:
            numbers = self._numbers[what] = self._number(what)
            limbs = [numbers]
            if numbers.dtype != object and _bits(numbers) + len(numbers).bit_length() > WORD_BITS:
                limbs = [numbers & ((1 << _LIMB_BITS) - 1), numbers >> _LIMB_BITS]
            self._running[what] = [
                [_running(one, layer) for layer in self._layers] for one in limbs
            ]
        return self._running[what]

    def _number(self, what: str) -> Numbers:
        values = self.values
        match what:
            case "count":
                return values.valid.view(np.int8)
            case "sum":
                return values.scaled.numbers
            case "squares":
                numbers = values.scaled.numbers
                if numbers.dtype != object and 2 * _bits(numbers) > WORD_BITS:
                    numbers = numbers.astype(object)
                squares: Numbers = numbers * numbers
                return squares
        assert values.infinite is not None
        signs: Numbers = (values.infinite == (1 if what == "above" else -1)).view(np.int8)
        return signs


def _running(numbers: Numbers, layer: Layer) -> Numbers:
    of_layer = numbers if len(layer.places) == len(numbers) else numbers[layer.places]
    dtype = object if numbers.dtype == object else np.int64
    sums = np.zeros(len(of_layer) + 1, dtype)
    np.cumsum(of_layer, out=sums[1:])
    return sums


def _between(running: Sequence[Numbers], window: WindowSpans, n_queries: int) -> Numbers:
    total: Numbers | None = None
    for sums, span in zip(running, window.spans, strict=True):
        between: Numbers = sums[span.high] - sums[span.low]
        if total is not None:
            between += total
        total = between
    return total if total is not None else np.zeros(n_queries, np.int64)


class InputWindows:
    """The values of an input in one window of each query.

    Parameters
    ----------
    sums
        The input's values.
    window
        Which events the windows hold.
    n_queries
        How many queries there are.
    """

    def __init__(self, sums: InputSums, window: WindowSpans, n_queries: int) -> None:
        self._sums, self._window, self._n_queries = sums, window, n_queries
        self._values = sums.values

    def count(self) -> NDArray[np.int64]:
        """Return how many values there are."""
        return self._total("count")

    def sums(self) -> Numbers:
        """Return the exact sums of the finite values, in units of ``2**-scaled.shift``."""
        return self._total("sum")

    def sums_of_squares(self) -> Numbers:
        """Return the exact sums of their squares, in units of ``2**-(2 * scaled.shift)``."""
        return self._total("squares")

    def infinities(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Return how many values are infinite, above and below; ``None`` where none is."""
        if self._values.infinite is None:
            return None
        return self._total("above"), self._total("below")

    def least(self) -> NDArray[np.int64]:
        """Return the least of the values as `InputValues.ordered` has them."""
        ordered = np.where(self._values.valid, self._values.ordered, _GREATEST)
        return self._extreme(ordered, np.minimum, _GREATEST)

    def greatest(self) -> NDArray[np.int64]:
        """Return the greatest of the values as `InputValues.ordered` has them."""
        ordered = np.where(self._values.valid, self._values.ordered, _LEAST)
        return self._extreme(ordered, np.maximum, _LEAST)

    def last(self) -> Indices:
        """Return the place of the last event with a value, -1 where there is none."""
        places = np.where(self._values.valid, np.arange(len(self._values.valid)), -1)
        result = np.full(self._n_queries, -1)
        for span in self._window.spans:
            so_far = np.maximum.accumulate(np.append(-1, places[span.layer.places]))
            found = so_far[span.high]
            first = _first_place(span, len(places))
            np.maximum(result, np.where(found >= first, found, -1), out=result)
        np.maximum.at(result, self._window.pairs.query, places[self._window.pairs.place])
        return result

    def first(self) -> Indices:
        """Return the place of the first event with a value, -1 where there is none."""
        n_events = len(self._values.valid)
        places = np.where(self._values.valid, np.arange(n_events), n_events)
        result = np.full(self._n_queries, n_events)
        for span in self._window.spans:
            behind = np.append(places[span.layer.places], n_events)
            next_one = np.minimum.accumulate(behind[::-1])[::-1][span.low]
            after = np.append(span.layer.places, n_events)[span.high]
            found = np.where(span.high > span.low, next_one, n_events)
            np.minimum(result, np.where(found < after, found, n_events), out=result)
        np.minimum.at(result, self._window.pairs.query, places[self._window.pairs.place])
        return np.where(result == n_events, -1, result)

    def distinct(self) -> NDArray[np.int64]:
        """Return how many distinct values there are."""
        result = np.zeros(self._n_queries, np.int64)
        for begin, query, _, _ in self._runs():
            np.add.at(result, begin + query, 1)
        return result

    def most_frequent(self) -> NDArray[np.int64]:
        """Return the value that is there most often, of several such the least, as `ordered`."""
        result = np.zeros(self._n_queries, np.int64)
        for begin, query, value, times in self._runs():
            order = np.lexsort((-value, times, query))
            last = np.append(query[order][:-1] != query[order][1:], True)
            chosen = order[last[: len(order)]]
            result[begin + query[chosen]] = value[chosen]
        return result

    def _runs(self) -> Any:
        """Yield for some queries each distinct value and how often it is there."""
        values = self._values
        for begin, owner, place in expand_in_parts(self._window, self._n_queries, _AT_ONCE):
            counts = values.valid[place]
            query, ordered = owner[counts], values.ordered[place[counts]]
            order = np.lexsort((ordered, query))
            query, ordered = query[order], ordered[order]
            is_new = np.append(True, (query[1:] != query[:-1]) | (ordered[1:] != ordered[:-1]))
            starts = np.flatnonzero(is_new[: len(query)])
            times = np.diff(np.append(starts, len(query)))
            yield begin, query[starts], ordered[starts], times

    def _total(self, what: str) -> Numbers:
        return self._sums.total(what, self._window, self._n_queries)

    def _extreme(
        self, ordered: NDArray[np.int64], better: np.ufunc, worst: np.int64
    ) -> NDArray[np.int64]:
        result = np.full(self._n_queries, worst)
        for span in self._window.spans:
            found = _range_extreme(ordered[span.layer.places], span, better, worst)
            better(result, found, out=result)
        pairs = self._window.pairs
        better.at(result, pairs.query, ordered[pairs.place])
        return result

    def original(self, ordered: NDArray[np.int64]) -> NDArray[Any]:
        """Return values by what `InputValues.ordered` made of them."""
        return unordered_bits(ordered) if self._values.values.dtype == np.float64 else ordered


def _bits(numbers: Numbers) -> int:
    """Return how many bits the greatest of some numbers takes."""
    if not len(numbers):
        return 0
    return max(int(numbers.max()).bit_length(), int(numbers.min()).bit_length())


def _first_place(span: LayerSpan, n_events: int) -> Indices:
    """Return the place of a span's first event; of an empty span, one behind all."""
    places = np.append(span.layer.places, n_events)
    return np.where(span.high > span.low, places[span.low], n_events)


def _range_extreme(
    ordered: NDArray[np.int64], span: LayerSpan, better: Callable[..., Any], worst: np.int64
) -> NDArray[np.int64]:
    """Return the extreme of each span: two overlapping runs of a power of two cover it."""
    sizes = span.high - span.low
    result = np.full(len(sizes), worst)
    level = np.frexp(sizes.astype(np.float64))[1] - 1
    runs = ordered
    for power in range(int(level.max(initial=-1)) + 1):
        if power:
            half = 1 << (power - 1)
            runs = better(runs[:-half], runs[half:])
        chosen = np.flatnonzero(level == power)
        if len(chosen):
            left = runs[span.low[chosen]]
            right = runs[span.high[chosen] - (1 << power)]
            result[chosen] = better(left, right)
    return result
