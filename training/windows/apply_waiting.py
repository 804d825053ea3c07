"""Adds the events to the online store that came in while its states were written anew."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from zeroskew.contract.pushed_rows import PushedRows
from zeroskew.features.stored_views import event_views
from zeroskew.online.store import OnlineStore
from zeroskew.online.windows.event_view import EventView
from zeroskew.records.pushes.push_store import open_push_store
from zeroskew.windows.state import StateFullError

__all__ = ["apply_waiting"]

_AT_ONCE: Final = 100
_TIMEOUT_SEC: Final = 30.0


def apply_waiting(store: Any, database_url: str, online: OnlineStore, now_us: int) -> int:
    """Add all events that wait for the lake; those that are there already change nothing.

    A state that is written from the lake lacks what a service took meanwhile. That is on disk
    before it is online, so it is here.

    Parameters
    ----------
    store
        Feast's ``FeatureStore``.
    database_url
        Where pushed rows wait.
    online
        Where to.
    now_us
        What the states were written for.

    Returns
    -------
    int
        How many events changed something.
    """
    views = event_views(store)
    return asyncio.run(_apply(views, database_url, online, now_us)) if views else 0


async def _apply(
    views: list[EventView], database_url: str, online: OnlineStore, now_us: int
) -> int:
    pushes = open_push_store(database_url, timeout_sec=_TIMEOUT_SEC)
    writer = online.open_writer(timeout_sec=_TIMEOUT_SEC)
    seen = n_added = 0
    try:
        while some := pushes.read(after=seen, limit=_AT_ONCE):
            for push in some:
                seen = push.number
                for view in views:
                    if (push.project, push.source) != (view.project, view.source):
                        continue
                    rows = PushedRows.from_json(push.rows)
                    with suppress(StateFullError):  # It was refused when it came.
                        n_added += await view.add(writer, rows, push.sha256, now_us=now_us)
    finally:
        await writer.close()
        pushes.close()
    return n_added
