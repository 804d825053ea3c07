"""Sees to it that events which leave the database for the lake are online, too."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from zeroskew.contract.errors.service import NotSupportedError
from zeroskew.contract.manifest import ViewPlan
from zeroskew.features.pushed_rows.waiting import Group
from zeroskew.features.stored_views import plan_stored_view
from zeroskew.features.windows.declare import window_plan_of
from zeroskew.online.schemes import find_address, open_store
from zeroskew.online.windows.add_events import add_events, waiting_events
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
    views = [
        (
            plan_stored_view(store, view, view.projection),
            bool(view.batch_source.created_timestamp_column),
        )
        for view in store.list_feature_views()
        if view.online
        and window_plan_of(view) is not None
        and view.batch_source.name == group.source
    ]
    section = store.config.online_store.model_dump(mode="json")
    address = find_address(section, Path(store.repo_path or ".")) or os.environ.get(_SETTING)
    if not views or address is None:
        return
    try:
        writer = open_store(address).open_writer(timeout_sec=_TIMEOUT_SEC)
    except NotSupportedError:
        return  # No service serves windows from there.
    asyncio.run(_add(store, writer, views, group))


async def _add(
    store: Any, writer: OnlineFeatureWriter, views: list[tuple[ViewPlan, bool]], group: Group
) -> None:
    ttl = getattr(store.config.online_store, "key_ttl_seconds", None) or None
    try:
        for view, has_created in views:
            for number, rows in group.pushes.items():
                identity = group.identities[number]
                events = waiting_events(view, rows, identity, has_created=has_created)
                # What a state does not hold was refused when it came.
                with suppress(StateFullError, StateBytesError):
                    await add_events(
                        writer,
                        store.project,
                        view,
                        events,
                        now_us=rows.received_us,
                        key_ttl_seconds=ttl,
                    )
    finally:
        await writer.close()
