"""The point-in-time join of one view with all labels, a slice of time after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import polars as pl

from zeroskew.features.offline_store.asof_join import (
    CREATED,
    EVENT,
    KNOWN,
    TIME,
    last_known_rows,
    order_by_known_time,
    rows_for_later_labels,
)
from zeroskew.features.offline_store.column_types import align_keys
from zeroskew.features.offline_store.entity_rows import EntityRows
from zeroskew.features.offline_store.errors import EntityRowError
from zeroskew.features.offline_store.historical_view import HistoricalView, JoinedView
from zeroskew.features.offline_store.time_slices import SliceLimits
from zeroskew.features.windows.windowed_table import WindowedTable

__all__ = ["TimeOrder", "join_view", "join_views"]

_THREADS: Final = 2

Rows = TypeVar("Rows", pl.DataFrame, pl.Series)


@dataclass(frozen=True, slots=True)
class TimeOrder:
    """The labels' order in time, computed once for all views.

    Attributes
    ----------
    instants : pl.Series
        Int64 microseconds, ascending, shape ``(n_labels,)``.
    forward : pl.Series or None
        UInt32: the label at each place in time; None where labels are in order of time.
    backward : pl.Series or None
        UInt32: the place in time of each label; None as above.
    """

    instants: pl.Series
    forward: pl.Series | None
    backward: pl.Series | None

    @classmethod
    def of(cls, instants: pl.Series) -> TimeOrder:
        """Sort labels by ``instants``."""
        if instants.is_sorted():
            return cls(instants, None, None)
        forward = instants.arg_sort()
        places = np.empty(len(forward), dtype=np.uint32)
        places[forward.to_numpy()] = np.arange(len(forward), dtype=np.uint32)
        return cls(instants.gather(forward), forward, pl.Series(places))

    def restore(self, values: Rows) -> Rows:
        """Bring values that are in order of time back to the labels' order."""
        return values if self.backward is None else values[self.backward]


def join_views(
    labels: EntityRows, views: Sequence[JoinedView], limits: SliceLimits, *, cutoff: bool
) -> Iterator[pl.DataFrame]:
    """Yield `join_view` of each view; windows are computed ahead, on threads beside one another."""
    order = TimeOrder.of(labels.instants)
    with ThreadPoolExecutor(max_workers=_THREADS) as threads:
        ahead = {
            place: threads.submit(join_view, labels, order, view, limits, cutoff=cutoff)
            for place, view in enumerate(views)
            if isinstance(view, WindowedTable)
        }
        for place, view in enumerate(views):
            if place in ahead:
                yield ahead.pop(place).result()
            else:
                yield join_view(labels, order, view, limits, cutoff=cutoff)


def join_view(
    labels: EntityRows,
    order: TimeOrder,
    view: JoinedView,
    limits: SliceLimits,
    *,
    cutoff: bool,
    with_times: bool = False,
) -> pl.DataFrame:
    """Join one view's features to all labels.

    Parameters
    ----------
    labels : EntityRows
        The entity frame.
    order : TimeOrder
        Of ``labels.instants``.
    view : HistoricalView or WindowedTable
        What to join.
    limits : SliceLimits
        The bound on rows read at once. In memory are one slice's rows, the last row of each
        key before it, and the result.
    cutoff : bool
        Whether a row is unknown before its created time.
    with_times : bool
        Whether the result tells each row's event and created time, too.

    Returns
    -------
    pl.DataFrame
        Columns ``feature:<output>``, shape ``(n_labels, n_features)``, in the labels' order, and
        with times ``event`` and, of rows whose table has it, ``created`` (Int64 microseconds).

    Raises
    ------
    EntityRowError
        If the labels lack a join key.
    OfflineStoreError
        If a key's types cannot be compared, or a value does not fit its declared type.
    """
    keyed, key_types = _keyed_labels(labels, order, view)
    if isinstance(view, WindowedTable):
        found = view.join(
            keyed, key_types, cutoff=cutoff, with_times=with_times, max_rows=limits.max_rows
        )
        return order.restore(found)
    return _join_rows(keyed, key_types, order, view, limits, cutoff=cutoff, with_times=with_times)


def _join_rows(
    keyed: pl.DataFrame,
    key_types: list[pl.DataType],
    order: TimeOrder,
    view: HistoricalView,
    limits: SliceLimits,
    *,
    cutoff: bool,
    with_times: bool,
) -> pl.DataFrame:
    latest = int(order.instants[-1]) if cutoff and len(order.instants) else None
    columns = _list_columns(view, with_times=with_times)
    slices = list(_slices(view, order.instants, limits))
    known: pl.DataFrame | None = None
    joined: list[pl.DataFrame] = []
    placed, joined_until = 0, 0
    for start, end in slices:
        rows = view.read(start, end, key_types, known_by=latest)
        if known is not None:
            rows = _put_earlier(known, rows, view, after=joined_until)
        known = order_by_known_time(rows, view.key_names, created_cutoff=cutoff)
        until = order.instants.search_sorted(end, side="right")
        found = last_known_rows(keyed[placed:until], known, view.key_names, ttl_us=view.ttl_us)
        if len(slices) == 1:
            return known.select(columns)[order.restore(found)]
        joined.append(known.select(columns)[found])
        placed, joined_until = until, end
    return order.restore(pl.concat(joined))


def _list_columns(view: HistoricalView, *, with_times: bool) -> list[str]:
    columns = [f"feature:{feature.output}" for feature in view.features]
    if with_times:
        columns += [EVENT] if view.created_column is None else [EVENT, CREATED]
    return columns


def _put_earlier(
    known: pl.DataFrame, rows: pl.DataFrame, view: HistoricalView, *, after: int
) -> pl.DataFrame:
    """Return the rows of a slice behind those of the last one that later labels may still see."""
    earlier = rows_for_later_labels(known, view.key_names, after=after)
    return pl.concat([earlier.drop(KNOWN), rows])


def _keyed_labels(
    labels: EntityRows, order: TimeOrder, view: JoinedView
) -> tuple[pl.DataFrame, list[pl.DataType]]:
    columns, types = [order.instants.alias(TIME)], []
    for name, key in zip(view.key_names, view.keys, strict=True):
        if key.label not in labels.table.column_names:
            raise EntityRowError(
                f"Got labels with columns {labels.table.column_names}, "
                f"but expected {key.label!r}, a join key of view {view.name!r}."
            )
        column, dtype = align_keys(
            labels.column(key.label), view.table.schema[key.source], key=key.label, view=view.name
        )
        columns.append(
            (column if order.forward is None else column.gather(order.forward)).alias(name)
        )
        types.append(dtype)
    return pl.DataFrame(columns), types


def _slices(
    view: HistoricalView, instants: pl.Series, limits: SliceLimits
) -> Iterator[tuple[int | None, int]]:
    """Cut event time so that every slice ends with the labels it serves."""
    if instants.is_empty():
        yield 0, 0
        return
    start = None if view.ttl_us is None else int(instants[0]) - view.ttl_us
    yield from limits.cut(view.table, view.event_column, start, int(instants[-1]))
