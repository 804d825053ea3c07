"""What the rows of Feast's SQLite file have, checked, and as cells with their event times."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zeroskew.contract.errors.service import OnlineValueError
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.online.reader import EntityRow, StoredView

__all__ = ["FoundRow", "check_types", "fits_layout", "make_entity", "to_microseconds"]

_CELL_TYPES: Final = frozenset({bytes, type(None)})
_TIME_TYPES: Final = frozenset({int, type(None)})
_NEVER_SEC: Final = NEVER_US // 1_000_000
_MAX_SEC: Final = 2**62 // 1_000_000

FoundRow: TypeAlias = tuple[Any, ...]
"""An entity's number, then a value and its event time for each feature."""


def make_entity(of_views: Sequence[FoundRow]) -> EntityRow | None:
    """Return an entity by its row of each view, unless a view's values have several times."""
    times: list[int] = []
    for row in of_views:
        of_view = set(row[2::2])
        if len(of_view) > 1:
            return None
        for second in of_view:
            if second is None or second == _NEVER_SEC:
                times.append(NEVER_US)
            elif abs(second) > _MAX_SEC:
                raise _beyond_range()
            else:
                times.append(second * 1_000_000)
    return EntityRow(tuple(chain.from_iterable([row[1::2] for row in of_views])), times)


def check_types(view: StoredView, rows: Sequence[FoundRow]) -> None:
    """Check what SQLite, whose columns take any type, has in the columns of Feast's table."""
    cells = [cell for row in rows for cell in row[1::2]]
    if not fits_layout(cells, [second for row in rows for second in row[2::2]]):
        raise OnlineValueError(
            f"Got a stored row of view {view.name!r} that is not in the layout of "
            "Feast's SQLite online store, but expected a serialised value and an "
            "event time in whole seconds."
        )


def fits_layout(cells: Sequence[Any], seconds: Sequence[Any]) -> bool:
    """Whether values and event times are what the columns of Feast's table are to have."""
    times = set(map(type, seconds))
    return (
        _CELL_TYPES.issuperset(map(type, cells))
        and times <= _TIME_TYPES
        and (
            type(None) not in times
            or not any(
                cell is not None and second is None
                for cell, second in zip(cells, seconds, strict=True)
            )
        )
    )


def to_microseconds(seconds: Sequence[int | None]) -> NDArray[np.int64]:
    """Return int64 microseconds; `NEVER_US` where a cell has no event time."""
    known = [_NEVER_SEC if second is None else second for second in seconds]
    try:
        whole = np.array(known, np.int64)
    except OverflowError as error:
        raise _beyond_range() from error
    never = whole == _NEVER_SEC
    if ((np.abs(whole) > _MAX_SEC) & ~never).any():
        raise _beyond_range()
    microseconds = whole * 1_000_000
    microseconds[never] = NEVER_US
    return microseconds


def _beyond_range() -> OnlineValueError:
    return OnlineValueError(
        f"Got an event time beyond {_MAX_SEC} seconds from 1970, but expected one within."
    )
