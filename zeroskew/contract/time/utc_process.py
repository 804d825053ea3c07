"""Time inside is UTC, whatever the host's zone is."""

from __future__ import annotations

import os
import time

__all__ = ["live_in_utc"]


def live_in_utc() -> None:
    """Make UTC the zone of this process and of those it starts.

    Feast reads naive times in the zone of the process in some places and as UTC in others. Our
    own code names the zone of every time; this is for what it calls.
    """
    os.environ["TZ"] = "UTC"
    if hasattr(time, "tzset"):  # Windows has none, and takes the zone from the system.
        time.tzset()
