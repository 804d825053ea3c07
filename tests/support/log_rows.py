"""Rows of the prediction log, made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from zeroskew.records.prediction_log.logged_row import LoggedRow

__all__ = ["make_row"]

_TIME: Final = datetime(2013, 10, 1, 12, 0, tzinfo=UTC)


def make_row(number: int, **changes: Any) -> LoggedRow:
    """Return a row whose id and time tell its number, with ``changes`` to its columns."""
    values: dict[str, Any] = {
        "id": f"00000000-0000-7000-8000-{number:012x}",
        "part": 0,
        "time": _TIME + timedelta(microseconds=number),
        "model": "delay",
        "version": 1,
        "arm": None,
        "role": "answer",
        "answer_id": None,
        "n_rows": 1,
        "numbers": None,
        "request": '[["UA","\\u0000 O\'Brien \\ud83e\\udd89"]]',
        "overrides": None,
        "features": bytes(range(8)),
        "request_inputs": b"",
        "statuses": b"\0\1",
        "event_times": bytes(16),
        "output": b"\xff" * 8,
        "error": None,
        "degraded": False,
        "latency_us": 123,
        "request_id": "abc",
        "caller": "",
        "logged_at": _TIME,
    }
    return LoggedRow(**(values | changes))
