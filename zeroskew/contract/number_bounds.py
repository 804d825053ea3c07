"""Which numbers fit the types that the service and the trainer share."""

from __future__ import annotations

from typing import Final

__all__ = ["EXACT_FLOAT", "INT32", "INT64", "MAX_FLOAT32"]

EXACT_FLOAT: Final = 1 << 53
"""Up to here no two whole numbers are the same float64."""
MAX_FLOAT32: Final = float.fromhex("0x1.fffffep+127")
"""What is beyond would be infinite in the model's float32 matrix."""
INT32: Final = range(-(1 << 31), 1 << 31)
INT64: Final = range(-(1 << 63), 1 << 63)
