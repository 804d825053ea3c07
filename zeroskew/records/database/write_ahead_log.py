"""SQLite's write-ahead log, where what was erased must be gone from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from zeroskew.contract.errors.project import StepError

__all__ = ["empty_write_ahead_log"]

_PATIENCE_SEC: Final = 30.0


def empty_write_ahead_log(checkpoint: Callable[[], Any]) -> None:
    """Empty SQLite's write-ahead log, which has pages as they were.

    Raises
    ------
    StepError
        If a reader holds it for too long.
    """
    deadline = time.monotonic() + _PATIENCE_SEC
    while checkpoint()[0]:
        if time.monotonic() > deadline:
            raise StepError(
                "Got a SQLite file whose write-ahead log a reader holds, but expected to empty it; "
                "run this again when that has ended"
            )
        time.sleep(0.05)
