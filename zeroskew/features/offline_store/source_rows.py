"""Which of several rows of one entity is the latest: one rule for training and serving.

The greatest event time wins, then the latest created one (a null created time is the
earliest). Rows equal in both are told apart by their values: features are compared in order of
their source columns' names, null below everything, and the greatest wins. The order of rows in
files, and which features were asked for, have no say.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

__all__ = ["drop_ties", "has_ties", "latest_rows", "sort_by_time"]


def has_ties(rows: pl.DataFrame, identity: Sequence[str], *, instants: Sequence[str]) -> bool:
    """Tell whether two rows are equal in all of the ``identity`` columns.

    ``instants`` are those of them by which ``rows`` is sorted, the first one without nulls:
    only neighbours of equal times are looked at further.
    """
    equal = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in instants)
    mask = rows.select(equal=equal)["equal"]
    if not mask.any():
        return False
    simultaneous = rows.select(identity).filter(mask | mask.shift(-1, fill_value=False))
    return simultaneous.n_unique() < simultaneous.height


def sort_by_time(rows: pl.DataFrame, instants: Sequence[str]) -> pl.DataFrame:
    """Sort by Int64 ``instants``, null first; rows that are sorted already are left alone."""
    event, *created = (pl.col(name) for name in instants)
    ascending = event >= event.shift()
    for column in created:
        before = column.shift()
        ascending &= (
            (event > event.shift()) | before.is_null() | (column.is_not_null() & (column >= before))
        )
    if rows.select(ascending=ascending.all())["ascending"][0]:
        return rows
    return rows.sort(instants, nulls_last=False)


def drop_ties(
    rows: pl.DataFrame, identity: Sequence[str], tie_breakers: Sequence[str]
) -> pl.DataFrame:
    """Leave one row of each ``identity``: the one with the greatest ``tie_breakers``.

    Parameters
    ----------
    rows : pl.DataFrame
        Shape ``(n_rows, n_columns)``.
    identity : sequence of str
        Join keys, event and created time.
    tie_breakers : sequence of str
        Columns compared in this order, null lowest, NaN highest; may be empty.

    Returns
    -------
    pl.DataFrame
        One row an identity, in no particular order.
    """
    if tie_breakers:
        rows = rows.sort(tie_breakers, nulls_last=False)
    return rows.unique(list(identity), keep="last")


def latest_rows(
    rows: pl.DataFrame,
    keys: Sequence[str],
    *,
    instants: Sequence[str],
    tie_breakers: Sequence[str],
) -> pl.DataFrame:
    """Leave the latest row of each entity.

    Parameters
    ----------
    rows : pl.DataFrame
        Shape ``(n_rows, n_columns)``.
    keys : sequence of str
        The join keys; empty where all rows belong to one entity.
    instants : sequence of str
        The event timestamp, then perhaps the created timestamp, compared by the microsecond.
    tie_breakers : sequence of str
        As in :func:`drop_ties`.

    Returns
    -------
    pl.DataFrame
        One row an entity, ascending in event time.
    """
    microseconds = [pl.col(name).dt.timestamp("us") for name in instants]
    rows = rows.sort(*microseconds, *tie_breakers, nulls_last=False)
    if not keys:
        return rows.tail(1)
    return rows.unique(list(keys), keep="last", maintain_order=True)
