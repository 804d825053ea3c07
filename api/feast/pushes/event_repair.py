"""Events that are on disk and not online: after a crash, or while a store is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from api.feast.catalog_index import CatalogIndex
from api.feast.feature_catalogs import FeatureCatalogs
from zeroskew.contract.errors.not_found import NotFoundError
from zeroskew.contract.errors.service import OnlineStoreUnavailableError, ServiceError
from zeroskew.contract.feature_catalog import CatalogView
from zeroskew.contract.pushed_rows import PushedRows
from zeroskew.contract.time.clock import Clock
from zeroskew.online.lazy_writer import LazyWriter
from zeroskew.online.windows.event_view import EventView
from zeroskew.records.pushes.push_row import WaitingPush
from zeroskew.records.pushes.push_store import PushStore

__all__ = ["EventRepair"]

_log: Final = structlog.get_logger(__name__)
_AT_ONCE: Final = 100
_MOST_LATER: Final = 10_000
"""How many writes are kept for later; beyond, the next start or `materialize` finds them."""


class EventRepair:
    """Adds to the states what waits for the lake, when a service starts, and what failed later.

    To add an event again changes nothing, so several services may do it at once.

    Parameters
    ----------
    catalogs
        Where the project's views are known.
    pushes
        What is on its way to the lake.
    writer
        Writes the online store.
    clock
        Tells the time of the project.
    """

    def __init__(
        self,
        *,
        catalogs: FeatureCatalogs,
        pushes: PushStore,
        writer: LazyWriter,
        clock: Clock,
    ) -> None:
        self._catalogs, self._pushes, self._writer, self._clock = catalogs, pushes, writer, clock
        self._seen = 0
        self._is_begun = False
        self._later: list[Callable[[], Awaitable[object]]] = []

    def do_later(self, write: Callable[[], Awaitable[object]]) -> None:
        """Write something once more in the next turn."""
        if len(self._later) < _MOST_LATER:
            self._later.append(write)

    async def turn(self) -> None:
        """Do what there is to do.

        Raises
        ------
        ServiceError
            If the catalog or the store fails; the next turn goes on there.
        """
        if not self._is_begun:
            with suppress(*self._pushes.failures):
                await self._begin()
        while self._later:
            write = self._later.pop(0)
            try:
                await write()
            except OnlineStoreUnavailableError:
                self._later.insert(0, write)
                raise
            except ServiceError as error:
                # What a state refuses now it refuses later, too.
                _log.warning("events_not_repaired", reason=str(error))

    async def close(self) -> None:
        """Close the database."""
        await asyncio.to_thread(self._pushes.close)

    async def _begin(self) -> None:
        n_added = 0
        while some := await asyncio.to_thread(self._pushes.read, after=self._seen, limit=_AT_ONCE):
            try:
                catalog = await self._catalogs.current()
            except NotFoundError:
                break  # What waits was taken for a project that is not there any more.
            for push in some:
                if push.project == catalog.project:
                    for view in catalog.event_views.get(push.source, []):
                        n_added += await self._add(catalog, view, push)
                self._seen = push.number
        self._is_begun = True
        if n_added:
            _log.warning("events_repaired", n_events=n_added)

    async def _add(self, catalog: CatalogIndex, view: CatalogView, push: WaitingPush) -> int:
        assert view.source is not None
        has_created = view.source.created is not None
        told = EventView(catalog.project, push.source, view, has_created, catalog.key_ttl_seconds)
        rows = PushedRows.from_json(push.rows)
        try:
            return await told.add(self._writer, rows, push.sha256, now_us=self._clock.now_us())
        except (ValueError, KeyError) as error:
            # Another catalog than the one that took them, or more than a state holds.
            _log.warning("events_not_repaired", view=view.name, push=push.number, reason=str(error))
            return 0
