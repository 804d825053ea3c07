"""Takes what Feast's clients push, checked against the schema of each view."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final
from uuid import uuid4

from pydantic import Field

from api.feast.catalog_index import CatalogIndex
from api.feast.feature_catalogs import FeatureCatalogs
from api.feast.pushes.event_repair import EventRepair
from api.feast.pushes.lake_rows import LakeTarget, choose_tables, make_rows
from api.feast.pushes.push_frames import ReadView, read_rows
from api.feast.pushes.pushed_events import add_pushed_events
from api.feast.request_bodies import (
    Columns,
    FeastLimits,
    PushRequest,
    PushTarget,
    WriteRequest,
    count_rows,
)
from zeroskew.contract.answer_model import AnswerModel
from zeroskew.contract.errors.service import InvalidRequestError, OnlineStoreUnavailableError
from zeroskew.contract.feature_catalog import CatalogView, LakeTable
from zeroskew.contract.time.clock import Clock
from zeroskew.online.lazy_writer import LazyWriter
from zeroskew.online.writer import OnlineWrite, ViewRows
from zeroskew.records.pushes.push_row import PushRow
from zeroskew.records.pushes.push_writer import PushWriter

__all__ = ["FeaturePushes", "PushResult"]

_BATCH_ROWS: Final = 1000
_INLINE_CELLS: Final = 2000
"""Up to how many values are parsed in the event loop; to hand them to a thread would cost more."""


class ViewResult(AnswerModel):
    """What became of the rows in one view of the online store."""

    written: int
    older: int = Field(
        description="Rows that changed nothing, because their entity has a newer one, "
        "in the store or in this request; events that were counted before."
    )
    waiting: int = Field(
        default_factory=int,
        description="Events that are on disk and not online yet, because the store could not be "
        "written. They will be as soon as it can.",
    )


class PushResult(AnswerModel):
    """What became of a request's rows. Sending them again is safe."""

    rows: int
    views: dict[str, ViewResult] = Field(description="What is online now; none if not asked to.")
    lake: dict[str, int] = Field(
        default_factory=dict,
        description="How many rows are on disk on their way to a table of the lake, by its source.",
    )
    online_only: dict[str, str] = Field(
        default_factory=dict,
        description="Views whose rows go into no table, and why: training will not see them.",
    )


class FeaturePushes:
    """Checks rows, puts them on disk for the lake, and writes them online.

    Parameters
    ----------
    catalogs
        Where the project's views and push sources are known.
    lake
        Keeps what is on its way to the lake.
    writer
        Writes the online store.
    repair
        Writes events online when the store is there again.
    clock
        Says when a row was created whose caller did not.
    limits
        How much a request may write.
    """

    def __init__(
        self,
        *,
        catalogs: FeatureCatalogs,
        lake: PushWriter,
        writer: LazyWriter,
        repair: EventRepair,
        clock: Clock,
        limits: FeastLimits,
    ) -> None:
        self._catalogs = catalogs
        self._lake = lake
        self._writer = writer
        self._repair = repair
        self._clock = clock
        self._limits = limits

    async def push(self, request: PushRequest) -> PushResult:
        """Write rows to every view that a push source feeds, and to their tables.

        Raises
        ------
        InvalidRequestError, NotFoundError
            If the rows do not fit; nothing was written.
        UnavailableError
            If the catalog cannot be read, or the database or the store cannot be written.
        NotSupportedError
            If the online store is of a kind that the service does not write.
        """
        target = request.target
        catalog = await self._catalogs.current()
        views = catalog.with_siblings(catalog.fed_views(request.push_source_name))
        return await self._write(catalog, views, request.df, target)

    async def write(self, request: WriteRequest) -> PushResult:
        """Write rows to one view, and to its table; see `push`."""
        target = request.target
        catalog = await self._catalogs.current()
        view = catalog.view(request.feature_view_name, "/feature_view_name")
        return await self._write(catalog, catalog.with_siblings([view]), request.df, target)

    async def add_events(self, source: str, columns: Columns) -> PushResult:
        """Add events to all windowed views over a source, and to its table; see `push`."""
        catalog = await self._catalogs.current()
        views = catalog.fed_event_views(source)
        nulls: list[Any] = [None] * len(next(iter(columns.values()), []))
        filled = dict(columns)
        for view in views:
            assert view.windows is not None
            renamed = set(view.source.field_mapping.values()) if view.source else set()
            for name in view.windows.columns.keys() - renamed:
                filled.setdefault(name, nulls)
        return await self._write(catalog, views, filled, PushTarget.BOTH)

    async def _write(
        self,
        catalog: CatalogIndex,
        views: Sequence[CatalogView],
        frame: Columns,
        target: PushTarget | None,
    ) -> PushResult:
        if any(view.windows for view in views):
            # What counts online and not in training, or the other way round, is skew.
            target = PushTarget.BOTH
        received_us = self._clock.now_us()
        n_rows = count_rows(frame, "/df", len(frame), self._limits)
        lake = choose_tables(catalog, views, target)
        is_online = target is not PushTarget.OFFLINE
        if n_rows == 0:
            # As Feast's server does: a client materializes a view that has nothing new.
            return _describe(0, views if is_online else [], [0] * len(views), lake)
        # Many rows take a while, in which others are to be answered.
        if n_rows * len(frame) <= _INLINE_CELLS:
            read = read_rows(views, frame, n_rows, self._limits, received_us)
        else:
            read = await asyncio.to_thread(
                read_rows, views, frame, n_rows, self._limits, received_us
            )
        if is_online:
            await self._writer.open()
        # On disk first: what is online and nowhere else is what training never sees.
        identity = uuid4().hex
        await self._keep(catalog, read, lake, received_us, identity)
        written: list[int | None] = []
        if is_online:
            written = await self._write_all(catalog, read, received_us, identity)
        return _describe(n_rows, views if is_online else [], written, lake)

    async def _write_all(
        self, catalog: CatalogIndex, read: Sequence[ReadView], received_us: int, identity: str
    ) -> list[int | None]:
        """Write the rows of all views, and return for each how many changed something.

        ``None`` is for events that are on disk and have to wait for the store.
        """
        plain = [one.rows() for one in read if one.view.windows is None]
        counts = iter(await self._write_online(catalog, plain) if plain else [])
        written: list[int | None] = []
        refused: InvalidRequestError | None = None
        for one in read:
            if one.view.windows is None:
                written.append(next(counts))
                continue
            events = one.events(identity, received_us)
            now_us = self._clock.now_us()
            add = partial(add_pushed_events, self._writer, catalog, one.view, events, now_us)
            try:
                written.append(await add())
            except OnlineStoreUnavailableError:
                self._repair.do_later(add)
                written.append(None)
            except InvalidRequestError as error:
                refused = refused or error
        if refused is not None:
            raise refused
        return written

    async def _write_online(self, catalog: CatalogIndex, views: Sequence[ViewRows]) -> list[int]:
        """Write rows some at a time, so that nobody waits for the store during all of them."""
        newest = [list(view.newest().values()) for view in views]
        written = [0] * len(views)
        for start in range(0, max(map(len, newest)), _BATCH_ROWS):
            batch = tuple(
                replace(view, rows=rows[start : start + _BATCH_ROWS])
                for view, rows in zip(views, newest, strict=True)
            )
            write = OnlineWrite(catalog.project, batch, catalog.key_ttl_seconds)
            counts = await self._writer.write(write)
            written = [n + more for n, more in zip(written, counts, strict=True)]
        return written

    async def _keep(
        self,
        catalog: CatalogIndex,
        read: Sequence[ReadView],
        lake: LakeTarget,
        received_us: int,
        identity: str,
    ) -> None:
        """Put the rows of each table on disk."""

        def make(table: LakeTable) -> PushRow:
            parts = [one for one in read if lake.tables.get(one.view.name) == table]
            columns = {name: values for one in parts for name, values in one.columns.items()}
            rows = make_rows(table, columns, parts[0].event_us, parts[0].created_us, received_us)
            # Without ids the same events once more are more events, online as well.
            has_events = any(one.view.windows for one in parts)
            told = identity if has_events else rows.sha256
            return PushRow(catalog.project, table.name, rows.to_json(), told, self._clock.now())

        tables = list({table.name: table for table in lake.tables.values()}.values())
        if tables:
            pushes = await asyncio.to_thread(lambda: [make(table) for table in tables])
            await self._lake.write(pushes)


def _describe(
    n_rows: int, views: Sequence[CatalogView], written: Sequence[int | None], lake: LakeTarget
) -> PushResult:
    return PushResult(
        rows=n_rows,
        views={
            view.name: ViewResult(written=0, older=0, waiting=n_rows)
            if n is None
            else ViewResult(written=n, older=n_rows - n)
            for view, n in zip(views, written, strict=True)
        },
        lake={table.name: n_rows for table in lake.tables.values()},
        online_only=dict(lake.online_only),
    )
