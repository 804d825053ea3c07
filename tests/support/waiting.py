"""Waiting for what is about to happen: for the event, with room for a busy machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import httpx

__all__ = [
    "PATIENCE_SEC",
    "PATIENT_SERVICE",
    "is_done_by",
    "is_ready",
    "let_others_run",
    "wait_until",
    "wait_until_ready",
]

PATIENCE_SEC: Final = 120.0
"""How long nothing may happen before a test fails; nothing that goes well takes so long."""

PATIENT_SERVICE: Final = {
    "ZEROSKEW_BODY_TIMEOUT_SEC": "60",
    "ZEROSKEW_FEEDBACK_TIMEOUT_SEC": "60",
    "ZEROSKEW_LOG_TIMEOUT_SEC": "60",
    "ZEROSKEW_MAX_LAG_SEC": "60",
    "ZEROSKEW_ONLINE_STORE_TIMEOUT_SEC": "30",
    "ZEROSKEW_ONLINE_WRITE_TIMEOUT_SEC": "60",
    "ZEROSKEW_RATE_LIMIT_TIMEOUT_SEC": "30",
    "ZEROSKEW_REGISTRY_TIMEOUT_SEC": "30",
    "ZEROSKEW_REQUEST_TIMEOUT_SEC": "60",
    "ZEROSKEW_SHUTDOWN_GRACE_SEC": "90",
}
"""Deadlines of a service under test, which its defaults would miss on a busy machine.

The whole suite inherits them; a test of a deadline sets its own.
"""

_LOOK_EVERY_SEC: Final = 0.01


def wait_until(is_true: Callable[[], bool], *, what: str = "what was waited for") -> None:
    """Return once `is_true` says so.

    Raises
    ------
    TimeoutError
        If it does not within `PATIENCE_SEC`; the message names `what`.
    """
    deadline = time.monotonic() + PATIENCE_SEC
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Got nothing in {PATIENCE_SEC} s, but expected {what}.")
        time.sleep(_LOOK_EVERY_SEC)


async def is_done_by(task: asyncio.Future[Any], seconds: float) -> bool:
    """Wait for what has a deadline of its own; return whether it ended before so many seconds.

    Both are timers of one event loop, which fire in their order however late a busy machine lets
    them; so no assertion of a time stands behind a failure.
    """
    await asyncio.wait({task}, timeout=seconds)
    await let_others_run()
    return task.done()


async def let_others_run() -> None:
    """Let all that waits for no timer and no socket come to its end."""
    for _ in range(100):
        await asyncio.sleep(0)


def is_ready(url: str) -> bool:
    """Return whether the service at `url` answers that it is ready."""
    try:
        return httpx.get(f"{url}/readyz", timeout=PATIENCE_SEC).status_code == 200
    except httpx.TransportError:
        return False


def wait_until_ready(url: str) -> None:
    """Return once the service at `url` says that it is ready."""
    wait_until(lambda: is_ready(url), what=f"a service that is ready at {url}")
