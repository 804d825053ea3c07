"""Ids of answers: UUID version 7, so that they sort by the time they were made."""

from __future__ import annotations

import os
import time
import uuid

__all__ = ["make_prediction_id"]


def make_prediction_id() -> str:
    """Return a new UUID version 7 (RFC 9562, section 5.7): milliseconds, then random bits.

    >>> uuid.UUID(make_prediction_id()).version
    7
    """
    milliseconds = time.time_ns() // 1_000_000
    random_bits = int.from_bytes(os.urandom(10))
    number = milliseconds << 80 | random_bits
    number = number & ~(0xF << 76) | 7 << 76
    number = number & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=number))
