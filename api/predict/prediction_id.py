"""Ids of answers: UUID version 7, so that they sort by the time they were made."""

from __future__ import annotations

import os
import time
from typing import Final

__all__ = ["make_prediction_id"]

# The bits of the version, 7, and of the variant, binary 10.
_KEPT: Final = ~(0xF << 76 | 0x3 << 62)
_VERSION_7: Final = 7 << 76 | 2 << 62


def make_prediction_id() -> str:
    """Return a new UUID version 7 (RFC 9562, section 5.7): milliseconds, then random bits.

    >>> import uuid
    >>> uuid.UUID(make_prediction_id()).version
    7
    """
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << 80 | int.from_bytes(os.urandom(10))
    number = number & _KEPT | _VERSION_7
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
