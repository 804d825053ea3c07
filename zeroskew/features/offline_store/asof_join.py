"""The point-in-time join over frames: which row of a view was known for each label.

A label at ``t`` gets, among the rows of its key with ``event <= t`` (and ``created <= t`` where
the created cutoff is on), the row with the greatest event time, and among equal event times
the latest created one. If that row's event time is before ``t - ttl`` the label gets nothing.

One as-of join finds it: a row becomes *known* at ``max(event, created)``, and a row that
becomes known after a row with a later event time can never be chosen. Without those shadowed
rows, event times ascend with known times within a key, so the last known row is the right one.
Event times are compared with the ttl only afterwards: where the latest event has expired, so
have all earlier ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from zeroskew.features.offline_store.source_rows import sort_by_time

__all__ = [
    "CREATED",
    "EVENT",
    "KNOWN",
    "TIME",
    "last_known_rows",
    "order_by_known_time",
    "rows_for_later_labels",
]

TIME: Final = "time"
EVENT: Final = "event"
CREATED: Final = "created"
KNOWN: Final = "known"
_ROW: Final = "row"


def order_by_known_time(
    rows: pl.DataFrame, keys: Sequence[str], *, created_cutoff: bool
) -> pl.DataFrame:
    """Sort a view's rows by the time they became known and drop the shadowed ones.

    Parameters
    ----------
    rows : pl.DataFrame
        Columns ``keys``, ``event``, perhaps ``created`` (Int64 microseconds since the Unix
        epoch), and any others. No two rows have equal keys, event and created times.
    keys : sequence of str
        The join keys; empty where every row belongs to every label.
    created_cutoff : bool
        Whether a row is unknown before it was created. A row whose created time is null is
        then never known. Without it a row is known from its event time on.

    Returns
    -------
    pl.DataFrame
        ``rows`` with ``known``, ascending in known time; within a key ascending in event time.
    """
    if CREATED not in rows.columns:
        return sort_by_time(rows.with_columns(pl.col(EVENT).alias(KNOWN)), [EVENT])
    if not created_cutoff:
        return sort_by_time(rows.with_columns(pl.col(EVENT).alias(KNOWN)), [EVENT, CREATED])
    rows = sort_by_time(rows.filter(pl.col(CREATED).is_not_null()), [EVENT, CREATED])
    rows = rows.with_columns(pl.max_horizontal(EVENT, CREATED).alias(KNOWN))
    rows = rows.sort(KNOWN, maintain_order=True)
    if rows[EVENT].is_sorted():
        return rows
    latest_event = pl.col(EVENT).cum_max()
    if keys:
        latest_event = latest_event.over(keys)
    return rows.filter(pl.col(EVENT) == latest_event)


def last_known_rows(
    labels: pl.DataFrame, known_rows: pl.DataFrame, keys: Sequence[str], *, ttl_us: int | None
) -> pl.Series:
    """Find each label's row.

    Parameters
    ----------
    labels : pl.DataFrame
        Columns ``keys`` and ``time`` (Int64 microseconds), ascending in time.
    known_rows : pl.DataFrame
        What :func:`order_by_known_time` returns; no null keys.
    keys : sequence of str
        The join keys, of equal types on both sides. A null key matches nothing.
    ttl_us : int or None
        Microseconds a value lives, the last one included; None means for ever.

    Returns
    -------
    pl.Series
        UInt32, shape ``(n_labels,)``: a row number of ``known_rows``, or null.
    """
    found = labels.join_asof(
        known_rows.select(*keys, KNOWN, EVENT).with_row_index(_ROW),
        left_on=TIME,
        right_on=KNOWN,
        by=list(keys) or None,
        strategy="backward",
        check_sortedness=False,
    )
    if ttl_us is None:
        return found[_ROW]
    alive = pl.col(EVENT) >= pl.col(TIME) - ttl_us
    return found.select(pl.when(alive).then(_ROW).alias(_ROW))[_ROW]


def rows_for_later_labels(
    known_rows: pl.DataFrame, keys: Sequence[str], *, after: int
) -> pl.DataFrame:
    """Keep the rows that a label later than ``after`` may still get.

    Parameters
    ----------
    known_rows : pl.DataFrame
        What :func:`order_by_known_time` returns.
    keys : sequence of str
        The join keys.
    after : int
        Microseconds since the Unix epoch.

    Returns
    -------
    pl.DataFrame
        The last row of each key known at ``after``, and all rows that become known later.
    """
    known = pl.col(KNOWN) <= after
    last = known_rows.filter(known)
    last = last.unique(list(keys), keep="last") if keys else last.tail(1)
    return pl.concat([last, known_rows.filter(~known)])
