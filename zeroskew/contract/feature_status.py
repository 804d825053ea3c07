"""What became of a stored feature in an answer; the log keeps the number as a byte."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["FeatureStatus"]


class FeatureStatus(IntEnum):
    """Why a feature of a row is what it is.

    ``STALE`` is older than its view's ttl. ``FUTURE`` has an event time after the clock's:
    training's point-in-time join would not have seen it either. Both reach the model only
    where the view says ``serve``. ``OVERRIDE`` comes from the caller, ``DEFAULT`` from the
    plan, because the store is down.
    """

    PRESENT = 0
    NULL = 1
    MISSING = 2
    STALE = 3
    FUTURE = 4
    OVERRIDE = 5
    DEFAULT = 6
