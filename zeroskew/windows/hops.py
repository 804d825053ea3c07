"""Multiples of a hop, counted since the Unix epoch: where windows begin and tiles end."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["hop_from", "hop_until"]

_Times = TypeVar("_Times", int, NDArray[np.int64])


def hop_until(time_us: _Times, hop_us: int | None) -> _Times:
    """Return the last multiple of a hop that is not later; without a hop the time itself.

    >>> hop_until(-5, 10), hop_until(20, 10)
    (-10, 20)
    """
    return time_us if hop_us is None else time_us // hop_us * hop_us


def hop_from(time_us: _Times, hop_us: int | None) -> _Times:
    """Return the first multiple of a hop that is not earlier; without a hop the time itself.

    >>> hop_from(-5, 10), hop_from(20, 10)
    (0, 20)
    """
    return time_us if hop_us is None else -(-time_us // hop_us) * hop_us
