"""A windowed view with its table of events opened, and its join with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.contract.window_plan import WindowFeature, WindowPlan
from zeroskew.features.offline_store.asof_join import CREATED, EVENT, TIME
from zeroskew.features.offline_store.column_types import conform_key, epoch_microseconds
from zeroskew.features.offline_store.errors import SourceError
from zeroskew.features.offline_store.parquet.parquet_source import ParquetTable, between
from zeroskew.features.offline_store.view_columns import KeyColumn, RequestedFeature
from zeroskew.features.windows.entity_numbers import number_entities
from zeroskew.features.windows.event_rows import (
    ENTITY,
    EVENT_ID,
    column_name,
    make_events,
    sort_by_entity,
    typed_columns,
)
from zeroskew.windows.as_of import FeatureValues, WindowSumError, windows_as_of
from zeroskew.windows.events import Events
from zeroskew.windows.spans import Queries

__all__ = ["WindowedTable"]

_ROW: Final = "row"


@dataclass(frozen=True, slots=True)
class WindowedTable:
    """A windowed view as the join needs it: `HistoricalView` for events instead of rows.

    ``ttl_us`` is how old the newest event may be in microseconds, None for ever.
    """

    name: str
    table: ParquetTable
    keys: tuple[KeyColumn, ...]
    features: tuple[RequestedFeature, ...]
    event_column: str
    created_column: str | None
    ttl_us: int | None
    windows: WindowPlan

    @property
    def key_names(self) -> list[str]:
        """The names of the join keys beside labels."""
        return [f"key:{position}" for position in range(len(self.keys))]

    def join(
        self,
        labels: pl.DataFrame,
        key_types: Sequence[pl.DataType],
        *,
        cutoff: bool,
        with_times: bool,
        max_rows: int,
    ) -> pl.DataFrame:
        """Compute the requested features as of labels.

        Parameters
        ----------
        labels
            ``key:i`` in ``key_types`` and ``time`` (Int64 microseconds), ascending in time.
        key_types
            What the join keys are compared as.
        cutoff
            Whether an event is unknown before its created time.
        with_times
            Whether the result tells the newest event's time, too.
        max_rows
            Of a table with more events only those of some entities are in memory at a time, unless
            events have ids: versions of one may be of different entities.

        Returns
        -------
        pl.DataFrame
            ``feature:<output>``, in the labels' order, and with times ``event`` (Int64, null where
            the entity has no event yet, or only ones beyond the ttl).

        Raises
        ------
        SourceError
            If a value does not fit its declared type, or a sum is beyond it.
        """
        n_parts = 1
        if self.windows.event_id is None and self.keys:
            n_parts = max(1, -(-self.table.count_rows() // max_rows))
        rows = labels.with_row_index(_ROW).drop_nulls(self.key_names)
        until = labels[TIME].max()
        found = []
        for part in range(n_parts):
            of_part = _is_of_part(self.key_names, key_types, part, n_parts)
            some = rows if n_parts == 1 else rows.filter(of_part)
            known = self.read_events(until, key_types, cutoff=cutoff, part=(part, n_parts))
            some, known = number_entities(some, known, self.key_names)
            events = make_events(known, self.windows, created_cutoff=cutoff)
            del known
            asked = sort_by_entity(some)
            computed = self._compute(events, asked, with_times=with_times)
            found.append(pl.DataFrame([asked[_ROW], *computed]))
        joined = pl.concat(found)
        return joined.drop(_ROW)[_places_of(joined[_ROW], labels.height)]

    def _compute(self, events: Events, asked: pl.DataFrame, *, with_times: bool) -> list[pl.Series]:
        queries = Queries(asked[ENTITY].to_numpy(), asked[TIME].to_numpy())
        by_name = {feature.name: feature for feature in self.windows.features}
        wanted = tuple(by_name[feature.source] for feature in self.features)
        plan = self.windows.model_copy(update={"features": wanted})
        try:
            found = windows_as_of(plan, events, queries)
        except WindowSumError as error:
            raise SourceError(f"View {self.name!r}: {error}.") from error
        alive = found.newest_us != NEVER_US
        if self.ttl_us is not None:
            alive &= found.newest_us >= queries.time_us - self.ttl_us
        columns = [
            _series(one, alive, events, feature).alias(f"feature:{requested.output}")
            for one, feature, requested in zip(found.features, wanted, self.features, strict=True)
        ]
        return [*columns, _masked(found.newest_us, alive).alias(EVENT)] if with_times else columns

    def read_events(
        self,
        until: Any,
        key_types: Sequence[pl.DataType],
        *,
        cutoff: bool,
        part: tuple[int, int] = (0, 1),
    ) -> pl.DataFrame:
        """Read the events up to a time, and of such that have versions all of those.

        Parameters
        ----------
        until
            Microseconds since the Unix epoch, included; ``None`` for all.
        key_types
            The types to bring the join keys to.
        cutoff
            Whether to leave out what was created later.
        part
            Which part of the entities, of how many.

        Returns
        -------
        pl.DataFrame
            ``key:i``, ``event``, perhaps ``created`` (Int64 microseconds) and ``id``, and the
            columns of the plan as `typed_columns` gives them.

        Raises
        ------
        SourceError
            If a value does not fit its declared type.
        """
        schema = self.table.schema
        selected = self.table.frame.filter(pl.col(self.event_column).is_not_null())
        if until is not None and self.windows.event_id is None:
            selected = selected.filter(
                between(self.event_column, schema[self.event_column], None, until)
            )
        if until is not None and cutoff and self.created_column is not None:
            dtype = schema[self.created_column]
            selected = selected.filter(between(self.created_column, dtype, None, until))
        if part[1] > 1:
            sources = [key.source for key in self.keys]
            selected = selected.filter(_is_of_part(sources, key_types, *part))
        rows = self.table.collect(selected.select(self._columns()))
        rows = rows.with_columns(
            epoch_microseconds(rows[name]) for name in (EVENT, CREATED) if name in rows.columns
        )
        keys = [
            conform_key(rows[name], dtype, column=key.source)
            for name, key, dtype in zip(self.key_names, self.keys, key_types, strict=True)
        ]
        return typed_columns(rows.with_columns(keys), self.windows)

    def _columns(self) -> list[pl.Expr]:
        columns = [
            pl.col(key.source).alias(name)
            for name, key in zip(self.key_names, self.keys, strict=True)
        ]
        columns.append(pl.col(self.event_column).alias(EVENT))
        if self.created_column is not None:
            columns.append(pl.col(self.created_column).alias(CREATED))
        if self.windows.event_id is not None:
            columns.append(pl.col(self.windows.event_id).alias(EVENT_ID))
        columns += [pl.col(name).alias(column_name(name)) for name in self.windows.columns]
        return columns


def _is_of_part(
    columns: Sequence[str], types: Sequence[pl.DataType], part: int, n_parts: int
) -> pl.Expr:
    """Tell of each row whether its entity is in a part; any value is in the one of its equals."""
    number = pl.lit(0, pl.UInt64)
    for place, (column, dtype) in enumerate(zip(columns, types, strict=True)):
        number = number ^ pl.col(column).cast(dtype, strict=False).hash(seed=place)
    return number % n_parts == part


def _places_of(rows: pl.Series, n_rows: int) -> pl.Series:
    """Return where each row stands among some of them, null where it does not."""
    places = np.full(n_rows, -1)
    places[rows.to_numpy()] = np.arange(len(rows))
    found = pl.Series(places)
    return pl.select(pl.when(found >= 0).then(found)).to_series().cast(pl.UInt32)


def _series(
    one: FeatureValues, alive: NDArray[np.bool_], events: Events, feature: WindowFeature
) -> pl.Series:
    values = _masked(one.values, one.valid & alive)
    if feature.type == "STRING":
        text = events.inputs[feature.input].text
        assert text is not None
        known = pl.Series(text.tolist() or [None], dtype=pl.String)
        return known.gather(values)
    if feature.type == "BOOL":
        return values.cast(pl.Boolean)
    if feature.type == "UNIX_TIMESTAMP":
        return values.cast(pl.Datetime("us", "UTC"))
    return values


def _masked(values: NDArray[Any], valid: NDArray[np.bool_]) -> pl.Series:
    series = pl.Series(values)
    if valid.all():
        return series
    return pl.select(pl.when(pl.Series(valid)).then(series)).to_series()
