"""Takes what Feast's clients push, checked against the schema of each view."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import uuid4

from pydantic import Field

from api.feast.catalog_index import CatalogIndex
from api.feast.column_values import RefusedFields, parse_column, parse_instants
from api.feast.entity_columns import EntityColumns
from api.feast.feature_catalogs import FeatureCatalogs
from api.feast.lake_rows import LakeTarget, choose_tables, make_rows
from api.feast.online_read import store_view, value_kind
from api.feast.pushed_events import add_events, group_events
from api.feast.request_bodies import (
    Columns,
    FeastLimits,
    PushRequest,
    PushTarget,
    WriteRequest,
    count_rows,
)
from zeroskew.contract.answer_model import AnswerModel
from zeroskew.contract.errors.fields import json_pointer
from zeroskew.contract.errors.service import InvalidRequestError
from zeroskew.contract.feature_catalog import CatalogView, LakeTable, SourceColumns
from zeroskew.contract.manifest import OnlineFeature
from zeroskew.contract.time.clock import Clock
from zeroskew.online.lazy_writer import LazyWriter
from zeroskew.online.values.decode import Value
from zeroskew.online.writer import OnlineRow, OnlineWrite, ViewRows
from zeroskew.records.pushes.push_row import PushRow
from zeroskew.records.pushes.push_writer import PushWriter

__all__ = ["FeaturePushes", "PushResult"]

# What Feast's client calls the times of the rows it writes, whatever the source calls them.
_CLIENT_TIMESTAMP: Final = "event_timestamp"
_CLIENT_CREATED: Final = "created"
_BATCH_ROWS: Final = 1000
_INLINE_CELLS: Final = 2000
"""Up to how many values are parsed in the event loop; to hand them to a thread would cost more."""


class ViewResult(AnswerModel):
    """What became of the rows in one view of the online store."""

    written: int
    older: int = Field(
        description="Rows that changed nothing, because their entity has a newer one, "
        "in the store or in this request."
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
        clock: Clock,
        limits: FeastLimits,
    ) -> None:
        self._catalogs = catalogs
        self._lake = lake
        self._writer = writer
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
        views = catalog.fed_views(request.push_source_name)
        return await self._write(catalog, views, request.df, target)

    async def write(self, request: WriteRequest) -> PushResult:
        """Write rows to one view, and to its table; see `push`."""
        target = request.target
        catalog = await self._catalogs.current()
        view = catalog.view(request.feature_view_name, "/feature_view_name")
        return await self._write(catalog, [view], request.df, target)

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
            read = _read_rows(views, frame, n_rows, self._limits, received_us)
        else:
            read = await asyncio.to_thread(
                _read_rows, views, frame, n_rows, self._limits, received_us
            )
        if is_online:
            await self._writer.open()
        # On disk first: what is online and nowhere else is what training never sees.
        await self._keep(catalog, read, lake, received_us)
        written: list[int] = []
        if is_online:
            written = await self._write_all(catalog, read, received_us)
        return _describe(n_rows, views if is_online else [], written, lake)

    async def _write_all(
        self, catalog: CatalogIndex, read: Sequence[_ReadView], received_us: int
    ) -> list[int]:
        """Write the rows of all views, and return for each how many changed something."""
        plain = [one.rows for one in read if one.view.windows is None]
        counts = iter(await self._write_online(catalog, plain) if plain else [])
        written = []
        for one in read:
            if one.view.windows is None:
                written.append(next(counts))
                continue
            events = group_events(one.view, one.rows.rows, received_us)
            written.append(
                await add_events(self._writer, catalog, one.view, events, self._clock.now_us())
            )
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
        self, catalog: CatalogIndex, read: Sequence[_ReadView], lake: LakeTarget, received_us: int
    ) -> None:
        """Put the rows of each table on disk."""

        def make(table: LakeTable) -> PushRow:
            parts = [one for one in read if lake.tables.get(one.view.name) == table]
            columns = {name: values for one in parts for name, values in one.columns.items()}
            rows = make_rows(table, columns, parts[0].event_us, parts[0].created_us, received_us)
            # Without ids the same events once more are more events, online as well.
            has_events = any(one.view.windows for one in parts)
            identity = uuid4().hex if has_events else rows.sha256
            return PushRow(catalog.project, table.name, rows.to_json(), identity, self._clock.now())

        tables = list({table.name: table for table in lake.tables.values()}.values())
        if tables:
            pushes = await asyncio.to_thread(lambda: [make(table) for table in tables])
            await self._lake.write(pushes)


def _describe(
    n_rows: int, views: Sequence[CatalogView], written: Sequence[int], lake: LakeTarget
) -> PushResult:
    return PushResult(
        rows=n_rows,
        views={
            view.name: ViewResult(written=n, older=n_rows - n)
            for view, n in zip(views, written, strict=True)
        },
        lake={table.name: n_rows for table in lake.tables.values()},
        online_only=dict(lake.online_only),
    )


@dataclass(frozen=True, slots=True)
class _ReadView:
    """A request's rows as one view has them: for the online store, and column by column."""

    view: CatalogView
    rows: ViewRows
    columns: Mapping[str, list[Any]]
    event_us: Sequence[int]
    created_us: Sequence[int | None]


def _read_rows(
    views: Sequence[CatalogView],
    frame: Columns,
    n_rows: int,
    limits: FeastLimits,
    now_us: int,
) -> list[_ReadView]:
    """Return the rows of all views.

    Raises
    ------
    InvalidRequestError
        With the places of the frame that fit none of the views, or not all of them.
    """
    findings = RefusedFields()
    frames = [_ViewFrame(view, _source_of(view), frame, n_rows, findings, now_us) for view in views]
    known = set().union(*(one.known_columns for one in frames))
    for column in frame:
        if column not in known and not findings.are_enough:
            expected = f"one of {', '.join(sorted(known))}"
            findings.add(json_pointer("/df", column), "a column of that name", expected)
    rows = [one.read(limits.max_text_length) for one in frames]
    findings.raise_any()
    return [one for one in rows if one is not None]


def _source_of(view: CatalogView) -> SourceColumns:
    if view.source is None:
        raise InvalidRequestError(
            f"Got view {view.name!r}, but expected one with a source that has event times."
        )
    return view.source


@dataclass(frozen=True, slots=True)
class _ViewFrame:
    """A request's columns as one view sees them."""

    view: CatalogView
    source: SourceColumns
    frame: Columns
    n_rows: int
    findings: RefusedFields
    now_us: int

    @property
    def known_columns(self) -> set[str]:
        """The columns that the view takes or its source renames."""
        times = {self.source.timestamp, self.source.created, _CLIENT_TIMESTAMP, _CLIENT_CREATED}
        known = self._own_names | set(self.source.field_mapping) | times
        return {name for name in known if name is not None}

    @property
    def _own_names(self) -> set[str | None]:
        keys = {key.name for key in self.view.join_keys}
        return {*keys, *(feature.name for feature in self._given)}

    @property
    def _given(self) -> Sequence[OnlineFeature]:
        """What a row says: the features, or of an event what they are computed of."""
        windows = self.view.windows
        if windows is None:
            return self.view.features
        return [OnlineFeature(name=name, type=kind) for name, kind in windows.columns.items()]

    def _rename_columns(self) -> dict[str, list[Any]]:
        """Return the columns under the names that the view has for them."""
        columns: dict[str, list[Any]] = {}
        for name, values in self.frame.items():
            own_name = self.source.field_mapping.get(name, name)
            if own_name in columns:
                got = f"a second column for {own_name!r}"
                self.findings.add(json_pointer("/df", name), got, "one")
            columns[own_name] = values
        return columns

    def read(self, max_text_length: int) -> _ReadView | None:
        """Return the view's rows, or ``None`` and findings."""
        columns = self._rename_columns()
        keys = [key.model_copy(update={"field": key.name}) for key in self.view.join_keys]
        # An event of a nobody is one of other views' entities.
        nullable = self.view.windows is not None
        entities = EntityColumns(
            columns, keys, "/df", max_text_length, self.findings, nullable=nullable
        )
        given = self._given
        values = [self._read_feature(columns, feature) for feature in given]
        event_us = self._read_times(columns, self.source.timestamp, _CLIENT_TIMESTAMP)
        created_us = self._read_times(columns, self.source.created, _CLIENT_CREATED)
        if self.view.windows is not None:
            # Whoever has an event knows of it, whatever a clock elsewhere says.
            created_us = [None if us is None else min(us, self.now_us) for us in created_us]
        if self.findings.are_any:
            return None
        entity_keys = entities.serialize_keys(keys)
        rows = list(zip(*values, strict=True)) or [()] * self.n_rows
        online = ViewRows(
            view=store_view(self.view, given),
            kinds=tuple(value_kind(self.view, one, "/df") for one in given),
            rows=[
                OnlineRow(key, row, us, created)  # type: ignore[arg-type]  # neither is nullable
                for key, row, us, created in zip(
                    entity_keys, rows, event_us, created_us, strict=True
                )
                if key is not None
            ],
        )
        return _ReadView(self.view, online, columns, event_us, created_us)  # type: ignore[arg-type]  # as above

    def _read_feature(
        self, columns: dict[str, list[Any]], feature: OnlineFeature
    ) -> list[Value | None]:
        pointer = json_pointer("/df", feature.name)
        kind = value_kind(self.view, feature, pointer)
        if feature.name not in columns:
            self.findings.add(pointer, "nothing", f"a list of values of type {kind.name}")
            return []
        return parse_column(columns[feature.name], kind, pointer, self.findings)

    def _read_times(
        self, columns: dict[str, list[Any]], name: str | None, client_name: str
    ) -> list[int | None]:
        """Return a column of times, by the source's name or else by that of Feast's client.

        Event times must be there, in every row.
        """
        is_event = client_name == _CLIENT_TIMESTAMP
        if name not in columns and client_name not in self._own_names:
            name = client_name
        if name in columns:
            pointer = json_pointer("/df", name)
            return parse_instants(columns[name], pointer, self.findings, nullable=not is_event)
        if is_event:
            pointer = json_pointer("/df", self.source.timestamp)
            self.findings.add(pointer, "nothing", "a list of event times")
        return [None] * self.n_rows
