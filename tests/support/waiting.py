"""Waiting for what is about to happen: for the event, with room for a busy machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import httpx

__all__ = ["PATIENCE_SEC", "wait_until", "wait_until_ready"]

PATIENCE_SEC: Final = 120.0
"""How long nothing may happen before a test fails; nothing that goes well takes so long."""

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


def wait_until_ready(url: str) -> None:
    """Return once the service at `url` says that it is ready."""

    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz", timeout=PATIENCE_SEC).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(is_ready, what=f"a service that is ready at {url}")
