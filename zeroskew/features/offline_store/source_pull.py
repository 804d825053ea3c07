"""Rows of a source for materialization: all of a span of time, or the latest of each entity.

A span is one of event time. ``feast materialize-incremental`` goes on where the last run ended,
so a row that is created later with an event before that moment is in no later span and never
reaches the online store; ``docs/features.md`` says what to do.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import polars.selectors as cs
import pyarrow as pa
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL

from zeroskew.features.offline_store.column_types import numbers_for_feast
from zeroskew.features.offline_store.parquet.parquet_source import (
    ParquetTable,
    between,
    has_key,
)
from zeroskew.features.offline_store.source_rows import latest_rows
from zeroskew.features.offline_store.time_slices import SliceLimits

__all__ = ["SourcePull"]


@dataclass(frozen=True, slots=True)
class SourcePull:
    """A span of event time of one source, under the source's own column names.

    ``features`` empty stands for all columns: Feast asks so for views that compute their
    features. ``start`` and ``end`` are microseconds since the Unix epoch, both included, None
    where open. ``known_by`` leaves out rows created later, or at a null time.
    """

    table: ParquetTable
    keys: tuple[str, ...]
    features: tuple[str, ...]
    event_column: str
    created_column: str | None
    start: int | None
    end: int | None
    known_by: int | None = None

    def __post_init__(self) -> None:
        self.table.require_instants(self.event_column, role="event timestamp")
        if self.created_column is not None:
            self.table.require_instants(self.created_column, role="created timestamp")
        for key in self.keys:
            self.table.require(key, role="join key")
        for feature in self.features:
            self.table.require(feature, role="feature")

    def all_rows(self) -> pa.Table:
        """Read every row, ascending in event and created time, else in order of the files.

        Rows with a null join key belong to no entity and are left out.
        """
        order = [pl.col(name).dt.timestamp("us") for name in self._instants]
        rows = self._selected(self.start, self.end).sort(*order, maintain_order=True)
        return self._to_arrow(self.table.collect(rows))

    def latest(self, limits: SliceLimits) -> pa.Table:
        """Read the latest row of each entity, by the rule of :mod:`.source_rows`.

        Rows with a null join key belong to no entity and are left out. In memory are the rows
        of one slice and one row an entity.
        """
        latest: pl.DataFrame | None = None
        for start, end in limits.cut(self.table, self.event_column, self.start, self.end):
            rows = self.table.collect(self._selected(start, end))
            latest = latest_rows(
                rows if latest is None else pl.concat([latest, rows]),
                self.keys,
                instants=self._instants,
                tie_breakers=sorted(set(self.features) - set(self._instants)),
            )
        assert latest is not None
        return self._to_arrow(latest)

    @property
    def _instants(self) -> list[str]:
        return [self.event_column, *([self.created_column] if self.created_column else [])]

    def _selected(self, start: int | None, end: int | None) -> pl.LazyFrame:
        schema = self.table.schema
        selected = self.table.frame.filter(
            between(self.event_column, schema[self.event_column], start, end),
            *(has_key(key, schema[key]) for key in self.keys),
        )
        if self.created_column is not None and self.known_by is not None:
            selected = selected.filter(
                between(self.created_column, schema[self.created_column], None, self.known_by)
            )
        if not self.features:
            return selected
        return selected.select(*dict.fromkeys([*self.keys, *self.features, *self._instants]))

    def _to_arrow(self, rows: pl.DataFrame) -> pa.Table:
        # Feast writes only the first record batch of a table to the online store.
        rows = rows.with_columns((cs.categorical() | cs.enum()).cast(pl.String))
        table = numbers_for_feast(rows).to_arrow()
        if not self.keys:
            dummy = pa.array([DUMMY_ENTITY_VAL] * rows.height, pa.string())
            table = table.append_column(DUMMY_ENTITY_ID, dummy)
        return table.combine_chunks()
