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
from zeroskew.features.offline_store.column_types import conform_key, epoch_microseconds
from zeroskew.features.offline_store.errors import SourceError
from zeroskew.features.offline_store.parquet.parquet_source import ParquetTable, between
from zeroskew.features.offline_store.view_columns import KeyColumn, RequestedFeature
from zeroskew.features.windows.event_rows import (
    CREATED,
    ENTITY,
    EVENT,
    EVENT_ID,
    column_name,
    make_events,
    typed_columns,
)
from zeroskew.windows.as_of import FeatureValues, WindowSumError, windows_as_of
from zeroskew.windows.events import Events
from zeroskew.windows.spans import Queries

__all__ = ["WindowedTable"]

_TIME: Final = "time"
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
    ) -> pl.DataFrame:
        """Compute the requested features as of labels.

        Parameters
        ----------
        labels
            ``key:i`` in ``key_types`` and ``time`` (Int64 microseconds).
        key_types
            What the join keys are compared as.
        cutoff
            Whether an event is unknown before its created time.
        with_times
            Whether the result tells the newest event's time, too.

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
        rows = labels.with_row_index(_ROW)
        entities = _number_entities(rows, self.key_names)
        known = self.read_events(labels[_TIME].max(), key_types, cutoff=cutoff)
        events = make_events(
            _with_entities(known, entities, self.key_names), self.windows, created_cutoff=cutoff
        )
        asked = _with_entities(rows, entities, self.key_names)
        asked = asked.drop_nulls(ENTITY).sort(ENTITY, _TIME)
        columns = self._compute(events, asked, with_times=with_times)
        computed = pl.DataFrame([asked[_ROW], *columns])
        return rows.select(_ROW).join(computed, _ROW, "left", maintain_order="left").drop(_ROW)

    def _compute(self, events: Events, asked: pl.DataFrame, *, with_times: bool) -> list[pl.Series]:
        queries = Queries(asked[ENTITY].to_numpy(), asked[_TIME].to_numpy())
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
        self, until: Any, key_types: Sequence[pl.DataType], *, cutoff: bool
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
        rows = self.table.collect(selected.select(columns))
        rows = rows.with_columns(
            epoch_microseconds(rows[name]) for name in (EVENT, CREATED) if name in rows.columns
        )
        keys = [
            conform_key(rows[name], dtype, column=key.source)
            for name, key, dtype in zip(self.key_names, self.keys, key_types, strict=True)
        ]
        return typed_columns(rows.with_columns(keys), self.windows)


def _number_entities(labels: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Return a number for each entity that labels ask for; a null key is of no entity."""
    return (
        labels.select(keys)
        .drop_nulls()
        .unique(maintain_order=True)
        .with_row_index(ENTITY)
        .with_columns(pl.col(ENTITY).cast(pl.Int64))
    )


def _with_entities(rows: pl.DataFrame, entities: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    return rows.join(entities, on=list(keys), how="left", maintain_order="left")


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
