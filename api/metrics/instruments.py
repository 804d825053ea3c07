"""Counters, gauges and histograms of one process.

They are plain dictionaries, because the request path writes to a dozen of them: prometheus_client's
take 4 µs an observation where several processes share them, these 0.3 µs, and the workers' values
come together once a second instead (docs/decisions/0007-metrics.md).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["OTHER", "Counter", "Gauge", "Histogram", "Instrument", "Labels", "Snapshot"]

Labels = tuple[str, ...]
Snapshot = dict[str, list[tuple[list[str], Any]]]
"""The values of instruments by name: label values and the value, as JSON can have them."""

OTHER: Final = "other"
_MAX_SERIES: Final = 2000
_FEW: Final = 8
_Value = TypeVar("_Value")


class Instrument:
    """What is measured under one name, for each combination of label values.

    Parameters
    ----------
    name, description
        As Prometheus shows them.
    labels
        Names of the labels.
    max_series
        How many combinations are kept; what is beyond counts as `OTHER` in every label.
    """

    def __init__(
        self, name: str, description: str, labels: Labels = (), *, max_series: int = _MAX_SERIES
    ) -> None:
        self.name = name
        self.description = description
        self.labels = labels
        self._max_series = max_series
        self._other = (OTHER,) * len(labels)

    def read(self) -> Iterable[tuple[Labels, Any]]:
        """Return the values by their labels."""
        raise NotImplementedError

    def merge(self, values: Sequence[Any]) -> Any:
        """Return what the values of several processes are together."""
        raise NotImplementedError

    def _admit(self, known: Mapping[Labels, _Value], labels: Labels) -> Labels:
        return labels if len(known) < self._max_series else self._other


class Counter(Instrument):
    """A number that only grows."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._values: dict[Labels, float] = {}

    def add(self, labels: Labels = (), number: float = 1) -> None:
        """Add to a value."""
        values = self._values
        if labels not in values:
            labels = self._admit(values, labels)
            values.setdefault(labels, 0)
        values[labels] += number

    def set_total(self, labels: Labels, total: float) -> None:
        """Take over what another part of the service counts."""
        self._values[labels] = total

    def read(self) -> Iterable[tuple[Labels, float]]:
        """Return the counts by their labels."""
        return list(self._values.items())

    def merge(self, values: Sequence[float]) -> float:
        """Return the sum."""
        return sum(values)


class Gauge(Instrument):
    """A number that goes up and down; of several processes the sum, the largest or the least."""

    def __init__(
        self,
        *arguments: Any,
        together: Literal["sum", "max", "min"] = "sum",
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._values: dict[Labels, float] = {}
        joins: dict[str, Callable[[Iterable[float]], float]] = {"sum": sum, "max": max, "min": min}
        self._join = joins[together]

    def set(self, value: float, labels: Labels = ()) -> None:
        """Set a value."""
        if labels not in self._values:
            labels = self._admit(self._values, labels)
        self._values[labels] = value

    def clear(self) -> None:
        """Forget all values."""
        self._values.clear()

    def read(self) -> Iterable[tuple[Labels, float]]:
        """Return the values by their labels."""
        return list(self._values.items())

    def merge(self, values: Sequence[float]) -> float:
        """Return what the values are together."""
        return self._join(values)


class Histogram(Instrument):
    """How often values fell into each bucket, and their sum.

    Parameters
    ----------
    bounds
        The upper bounds of the buckets, in order, without infinity.
    """

    def __init__(self, *arguments: Any, bounds: Sequence[float], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.bounds = tuple(bounds)
        self._as_array = np.array(self.bounds)
        self._values: dict[Labels, list[float]] = {}

    def observe(self, value: float, labels: Labels = ()) -> None:
        """Count one value."""
        found = self._values.get(labels) or self._open(labels)
        found[bisect_left(self.bounds, value)] += 1
        found[-1] += value

    def observe_all(self, values: ArrayLike, labels: Labels = ()) -> None:
        """Count some finite values."""
        values = np.asarray(values, dtype=np.float64).ravel()
        if len(values) <= _FEW:
            for value in values.tolist():
                self.observe(value, labels)
            return
        found = self._values.get(labels) or self._open(labels)
        counted = np.bincount(np.searchsorted(self._as_array, values, side="left"))
        for index in np.flatnonzero(counted).tolist():
            found[index] += int(counted[index])
        found[-1] += float(values.sum())

    def read(self) -> Iterable[tuple[Labels, list[float]]]:
        """Return, by labels, the count of each bucket, of those above all bounds, and the sum."""
        return [(labels, list(counts)) for labels, counts in self._values.items()]

    def merge(self, values: Sequence[Sequence[float]]) -> list[float]:
        """Return the sums, one by one."""
        return [sum(numbers) for numbers in zip(*values, strict=True)]

    def _open(self, labels: Labels) -> list[float]:
        labels = self._admit(self._values, labels)
        return self._values.setdefault(labels, [0] * (len(self.bounds) + 2))
