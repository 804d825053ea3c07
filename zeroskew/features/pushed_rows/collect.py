"""Moves pushed rows from the database into the lake: each once, whatever is interrupted when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from feast.data_source import DataSource

from zeroskew.contract.errors.service import ServiceError
from zeroskew.features.offline_store.errors import OfflineStoreError, SourceError
from zeroskew.features.offline_store.parquet.parquet_source import (
    ParquetTable,
    find_place,
    open_parquet_table,
)
from zeroskew.features.offline_store.parquet.part_files import append_parts, write_file_atomically
from zeroskew.features.offline_store.parquet.table_files import (
    CALENDAR,
    Place,
    is_single_file,
    parquet_files,
    partition_columns,
)
from zeroskew.features.pushed_rows.new_rows import TimeColumns, keep_new
from zeroskew.features.pushed_rows.online_events import add_online
from zeroskew.features.pushed_rows.typed_rows import CALLER_CREATED, frame_of
from zeroskew.features.pushed_rows.waiting import Group, alone, read_group, release, take_groups
from zeroskew.features.windows.declare import window_plan_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["Collected", "collect_pushes"]


@dataclass
class Collected:
    """What became of the rows that waited.

    ``added`` and ``repeated`` count rows by source: those that are in the lake now, and those
    that it had already. ``refused`` says of each source why rows of it still wait, and
    ``n_refused`` how many.
    """

    added: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    n_refused: Counter[str] = field(default_factory=Counter)
    refused: dict[str, str] = field(default_factory=dict)


def collect_pushes(engine: Engine, store: Any) -> Collected:
    """Write the pushed rows that wait for a project's tables into new part files.

    What is in the lake is deleted from the database afterwards; events only when they are online,
    where a service may have died before it added them. If this is interrupted between,
    the next one writes the same rows into the same files. What does not fit into its table stays
    in the database.

    Parameters
    ----------
    engine
        The project's database.
    store
        Feast's ``FeatureStore``, which knows the tables.
    """
    collected = Collected()
    groups = take_groups(engine, store.project)
    if not groups:
        return collected
    tables = {table.name: table for table in _find_tables(store)}
    with alone(engine):
        for source, part in groups:
            group = read_group(engine, source, part)
            if not group.pushes:
                continue  # Another one was faster.
            table = tables.get(source)
            refused = _collect(group, table, collected)
            if table is not None and table.has_events:
                try:
                    add_online(store, group)
                except (ServiceError, ValueError) as error:
                    # It stays in the database: what is in the lake must be online, too.
                    collected.refused[source] = f"they cannot be added online: {error}"
                    collected.n_refused[source] += sum(
                        len(p.event_us) for p in group.pushes.values()
                    )
                    continue
            release(engine, group, refused)
    return collected


@dataclass(frozen=True)
class _Table:
    """A table that views read: its source, the source's join keys, where it is.

    Of a table of events each row stands, whatever others say of that moment.
    """

    source: DataSource
    keys: tuple[str, ...]
    repo_path: Path | None
    has_events: bool

    @property
    def name(self) -> str:
        return str(self.source.name)


def _find_tables(store: Any) -> Iterator[_Table]:
    for view in store.list_feature_views():
        if (source := view.batch_source) is None:
            continue
        original = {new: old for old, new in source.field_mapping.items()}
        keys = tuple(original.get(key, key) for key in view.join_keys)
        has_events = window_plan_of(view) is not None
        yield _Table(source, keys, store.config.repo_path, has_events)


def _collect(group: Group, table: _Table | None, collected: Collected) -> list[int]:
    """Write a group's rows; return the numbers of the pushes that do not fit."""
    refused: dict[int, Exception] = {}
    try:
        if table is None:
            raise SourceError(
                f"Got pushed rows for source {group.source!r}, but expected a view that reads it."
            )
        n_pushed, n_new = _add(group, table, refused)
        collected.added[group.source] += n_new
        collected.repeated[group.source] += n_pushed - n_new
    except OfflineStoreError as error:
        refused = dict.fromkeys(group.pushes, error)
    for number, why in refused.items():
        collected.refused[group.source] = str(why)
        collected.n_refused[group.source] += len(group.pushes[number].event_us)
    return list(refused)


def _add(group: Group, table: _Table, refused: dict[int, Exception]) -> tuple[int, int]:
    """Write what fits of a group; return how many rows do, and how many of them were new."""
    place = find_place(table.source, table.repo_path)
    known = _open(table, place, f"{group.part}.parquet")
    partitions = partition_columns(place, parquet_files(place)) if known else []
    optional = [name for name in partitions if name in CALENDAR]
    frames = []
    for number, rows in group.pushes.items():
        try:
            schema = known.schema if known else None
            frames.append(frame_of(rows, table.source, schema, optional))
        except (OfflineStoreError, OverflowError, TypeError, ValueError) as error:
            refused[number] = error
    if not frames:
        return 0, 0
    pushed = pl.concat(frames)
    new = pushed.drop(CALLER_CREATED)
    if not table.has_events:
        new = keep_new(pushed, table.keys, _times_of(table.source), known)
    _write(new, place, partitions, table.source, group.part)
    return pushed.height, new.height


def _open(table: _Table, place: Place, own: str) -> ParquetTable | None:
    """Open a table without the files that hold a group's rows if it was interrupted."""
    if all(str(file).endswith(f"/{own}") for file in parquet_files(place)):
        return None
    return open_parquet_table(table.source, table.repo_path, without=own)


def _times_of(source: DataSource) -> TimeColumns:
    original = {new: old for old, new in source.field_mapping.items()}
    created = source.created_timestamp_column or None
    return TimeColumns(
        original.get(source.timestamp_field, source.timestamp_field),
        original.get(created, created) if created else None,
    )


def _write(
    rows: pl.DataFrame, place: Place, partitions: list[str], source: DataSource, part: str
) -> None:
    if rows.is_empty():
        return
    event = _times_of(source).event
    if is_single_file(place):
        assert isinstance(place, Path)
        # A table that is one file has no room for another one: it is replaced as a whole.
        before = [pl.read_parquet(place)] if place.exists() else []
        write_file_atomically(pl.concat([*before, rows]).to_arrow(), place)
        return
    append_parts(rows, place, partitions, event_column=event, name=f"{part}.parquet")
