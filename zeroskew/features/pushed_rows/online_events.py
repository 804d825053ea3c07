"""Sees to it that events which leave the database for the lake are online, too."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from zeroskew.contract.errors.service import NotSupportedError
from zeroskew.features.pushed_rows.waiting import Group
from zeroskew.features.stored_views import event_views
from zeroskew.online.schemes import find_address, open_store
from zeroskew.online.windows.event_view import EventView
from zeroskew.online.writer import OnlineFeatureWriter
from zeroskew.windows.state import StateFullError
from zeroskew.windows.state_codec import StateBytesError

__all__ = ["add_online"]

_SETTING: Final = "ZEROSKEW_ONLINE_STORE"
_TIMEOUT_SEC: Final = 30.0


def add_online(store: Any, group: Group) -> None:
    """Add pushed events to the states of their entities; those that are there change nothing.

    Parameters
    ----------
    store
        Feast's ``FeatureStore``.
    group
        Pushes for a table of events.

    Raises
    ------
    OnlineStoreUnavailableError
        If the store cannot be written.
    ValueError
        If its address is none that is known.
    """
    views = [view for view in event_views(store) if view.source == group.source]
    section = store.config.online_store.model_dump(mode="json")
    address = find_address(section, Path(store.repo_path or ".")) or os.environ.get(_SETTING)
    if not views or address is None:
        return
    try:
        writer = open_store(address).open_writer(timeout_sec=_TIMEOUT_SEC)
    except NotSupportedError:
        return  # No service serves windows from there.
    asyncio.run(_add(writer, views, group))


async def _add(writer: OnlineFeatureWriter, views: list[EventView], group: Group) -> None:
    try:
        for view in views:
            for number, rows in group.pushes.items():
                # What a state does not hold was refused when it came.
                with suppress(StateFullError, StateBytesError):
                    identity = group.identities[number]
                    await view.add(writer, rows, identity, now_us=rows.received_us)
    finally:
        await writer.close()
