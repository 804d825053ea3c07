"""Which of several rows of an entity is the newest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

__all__ = ["OnlineRow", "keep_newest", "to_epoch_us"]

OnlineRow: TypeAlias = tuple[Any, dict[str, Any], datetime, datetime | None]
"""Feast's entity key, values, event time and created time."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_epoch_us(instant: datetime) -> int:
    """Return whole microseconds since the Unix epoch; a naive time is UTC.

    >>> to_epoch_us(datetime(1970, 1, 1, 0, 0, 1, 5))
    1000005
    """
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def keep_newest(
    rows: Iterable[OnlineRow], key_of: Callable[[OnlineRow], bytes]
) -> dict[bytes, OnlineRow]:
    """Return for each key its row with the latest event time, the last of several such.

    Parameters
    ----------
    rows
        Rows of one view.
    key_of
        Returns the serialised entity key of a row.
    """
    newest: dict[bytes, OnlineRow] = {}
    for row in rows:
        key = key_of(row)
        standing = newest.get(key)
        if standing is None or to_epoch_us(row[2]) >= to_epoch_us(standing[2]):
            newest[key] = row
    return newest
