"""The point-in-time join in plain Python: for each label look at every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Row", "chosen_row"]


@dataclass(frozen=True)
class Row:
    """A row of a view; times are integers, None is null."""

    keys: tuple[str | None, ...]
    event: int
    created: int | None
    value: float | None


def chosen_row(
    rows: Sequence[Row],
    keys: tuple[str | None, ...],
    time: int,
    *,
    ttl: int | None,
    cutoff: bool,
) -> Row | None:
    """Return the row a label gets, None if there is none."""
    candidates = [
        row
        for row in rows
        if None not in keys
        and row.keys == keys
        and row.event <= time
        and (ttl is None or time - ttl <= row.event)
        and (not cutoff or (row.created is not None and row.created <= time))
    ]
    return max(candidates, key=_recency, default=None)


def _recency(row: Row) -> tuple[int, tuple[bool, int], tuple[bool, float]]:
    created = (row.created is not None, row.created or 0)
    value = (row.value is not None, row.value or 0.0)
    return row.event, created, value
