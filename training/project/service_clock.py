"""The time at which commands work: the one that the service goes by."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from zeroskew.contract.errors.project import SpecError
from zeroskew.contract.time.moved_clock import MovedClock

__all__ = ["as_utc", "clock_text", "read_clock"]


def clock_text() -> str:
    """Return ``ZEROSKEW_CLOCK`` as it is set, ``system`` where it is not."""
    return os.environ.get("ZEROSKEW_CLOCK", "system")


def read_clock() -> datetime:
    """Return the time now by ``ZEROSKEW_CLOCK``, or by ``ZEROSKEW_CLOCK_FILE``, in UTC.

    Raises
    ------
    SpecError
        If the variable is no instant, or the file is no clock.
    """
    if file := os.environ.get("ZEROSKEW_CLOCK_FILE"):
        try:
            return MovedClock(Path(file)).now()
        except ValueError as error:
            raise SpecError(f"ZEROSKEW_CLOCK_FILE={file}: {error}") from error
    text = clock_text()
    try:
        return datetime.now(UTC) if text == "system" else as_utc(datetime.fromisoformat(text))
    except (OverflowError, ValueError) as error:
        raise SpecError(
            f"Got ZEROSKEW_CLOCK={text}, but expected 'system' or an instant such as "
            "2013-10-01T12:17:00Z"
        ) from error


def as_utc(moment: datetime) -> datetime:
    """Return a moment in UTC; one without a zone is in UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
