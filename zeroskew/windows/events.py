"""Events of many entities, in the one order that every answer goes by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeroskew.windows.exact import Scaled, scale

__all__ = ["Events", "InputValues", "ordered_bits", "unordered_bits"]

_ALL_BUT_SIGN = np.int64(2**63 - 1)


@dataclass(frozen=True)
class InputValues:
    """What events give to an input.

    Parameters
    ----------
    values
        int64 (whole numbers, booleans, microseconds, or the codes of `text`) or float64, shape
        ``(n_events,)``.
    valid
        bool, shape ``(n_events,)``: whether a value counts. NaN does not.
    text
        The sorted distinct texts that codes stand for.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_]
    text: NDArray[np.object_] | None = None

    @cached_property
    def infinite(self) -> NDArray[np.int8] | None:
        """The sign of each infinite value, 0 of others; ``None`` where all are finite."""
        if self.values.dtype != np.float64:
            return None
        infinite = self.valid & np.isinf(self.values)
        if not infinite.any():
            return None
        return np.where(infinite, np.where(self.values > 0, 1, -1), 0).astype(np.int8)

    @cached_property
    def scaled(self) -> Scaled:
        """The values as whole numbers, 0 where none counts or is finite."""
        if self.values.dtype != np.float64:
            return Scaled(np.where(self.valid, self.values, 0), 0)
        return scale(np.where(self.valid & np.isfinite(self.values), self.values, 0.0))

    @cached_property
    def ordered(self) -> NDArray[np.int64]:
        """The values as int64 that compare as they do, -0.0 below 0.0."""
        return ordered_bits(self.values) if self.values.dtype == np.float64 else self.values


@dataclass(frozen=True)
class Events:
    """Events in the order of entity, event time, creation, and what they say.

    Parameters
    ----------
    entity
        int64, shape ``(n_events,)``, ascending: a number for each entity.
    event_us
        int64: event times in microseconds since the Unix epoch.
    known_us
        int64: from when on the event is known, at least its event time.
    until_us
        int64: from when on a later version of the event stands in its place; ``None`` where none
        has one.
    inputs
        What they give to each input of the plan.
    """

    entity: NDArray[np.int64]
    event_us: NDArray[np.int64]
    known_us: NDArray[np.int64]
    until_us: NDArray[np.int64] | None
    inputs: tuple[InputValues, ...]

    def __len__(self) -> int:
        """How many events there are."""
        return len(self.entity)


def ordered_bits(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return doubles as int64 in the same order, -0.0 below 0.0.

    >>> np.diff(ordered_bits(np.array([-np.inf, -1.0, -0.0, 0.0, 2.0, np.inf]))).min() > 0
    np.True_
    """
    bits = np.ascontiguousarray(values).view(np.int64)
    return np.where(bits < 0, bits ^ _ALL_BUT_SIGN, bits)


def unordered_bits(ordered: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the doubles that `ordered_bits` was given."""
    return np.where(ordered < 0, ordered ^ _ALL_BUT_SIGN, ordered).view(np.float64)
