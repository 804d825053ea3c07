"""Which of several writes of an entity's row stands, for all that write an online store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["keep_newest"]

_Row = TypeVar("_Row")


def keep_newest(
    rows: Iterable[_Row], key_of: Callable[[_Row], bytes], event_us_of: Callable[[_Row], int]
) -> dict[bytes, _Row]:
    """Return for each key its row with the latest event time, the last of several such.

    Parameters
    ----------
    rows
        Rows of one view.
    key_of
        Returns the serialised entity key of a row.
    event_us_of
        Returns the event time of a row in microseconds since the Unix epoch.
    """
    newest: dict[bytes, _Row] = {}
    for row in rows:
        key = key_of(row)
        standing = newest.get(key)
        if standing is None or event_us_of(row) >= event_us_of(standing):
            newest[key] = row
    return newest
