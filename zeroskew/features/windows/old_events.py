"""What the events come to that no window of a limited length holds any more, for all entities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from zeroskew.contract.window_plan import WindowPlan
from zeroskew.features.offline_store.asof_join import CREATED, EVENT
from zeroskew.windows.partial import Partial
from zeroskew.windows.state import COUNTED, EntityState

__all__ = ["OldEvents", "fold_old_events"]

_WHOLE: Final = ("INT64", "BOOL", "UNIX_TIMESTAMP")
_EXACT: Final = 2.0**62
"""Below, a sum of whole numbers of 64 bits is what it says."""


@dataclass(frozen=True, slots=True)
class OldEvents:
    """The states that old events leave, by the entity's keys, and the events that are not old."""

    states: dict[tuple[Any, ...], EntityState]
    rows: pl.DataFrame


def fold_old_events(
    rows: pl.DataFrame, keys: Sequence[str], plan: WindowPlan, earliest_us: int
) -> OldEvents:
    """Do for all entities at once what `EntityState.add` does for old events one by one.

    Where that has to be done one by one, because events have ids, a view a hop, or an endless
    window values that are no whole numbers, no event is taken for old.

    Parameters
    ----------
    rows
        ``keys``, ``event``, ``created`` and what `input_columns` gives.
    keys
        The join keys.
    plan
        The view's windows.
    earliest_us
        As for `EntityState.add`.
    """
    empty = EntityState.empty(plan)
    endless = [place for place, partial in enumerate(empty.folded) if partial is not None]
    is_simple = plan.event_id is None and plan.hop_us is None
    is_simple &= all(plan.inputs[place].type in _WHOLE for place in endless)
    is_simple &= not any(one.function in COUNTED and one.window_us is None for one in plan.features)
    cut_us = earliest_us - (plan.longest_us or 0)
    is_old = (pl.col(EVENT) <= cut_us) & (pl.col(CREATED) <= earliest_us)
    old = rows.filter(is_old)
    if not is_simple or old.is_empty() or not _are_exact(old, endless):
        return OldEvents({}, rows)
    states = {
        tuple(found): EntityState(earliest_us, cut_us, newest_us, folded=list(empty.folded))
        for *found, newest_us in old.group_by(keys).agg(pl.col(EVENT).max()).rows()
    }
    for place in endless:
        for *found, partial in _fold_input(old, keys, f"input:{place}"):
            states[tuple(found)].folded[place] = partial
    for state in states.values():
        # A partial is changed later, and of one entity.
        state.folded = [
            Partial() if one is not None and not one.count else one for one in state.folded
        ]
    return OldEvents(states, rows.filter(~is_old))


def _are_exact(old: pl.DataFrame, endless: Sequence[int]) -> bool:
    """Tell whether 64 bits hold the sums of all squares."""
    squares = [pl.col(f"input:{place}").cast(pl.Float64).pow(2).sum() for place in endless]
    return not squares or all(total < _EXACT for total in old.select(squares).row(0))


def _fold_input(old: pl.DataFrame, keys: Sequence[str], name: str) -> list[tuple[Any, ...]]:
    value = pl.col(name)
    given = old.filter(value.is_not_null()).sort(*keys, EVENT, CREATED, name)
    ends = [
        getattr(pl.col(column), end)().alias(f"{end}:{column}")
        for end in ("first", "last")
        for column in (EVENT, CREATED, name)
    ]
    totals = given.group_by(keys, maintain_order=True).agg(
        value.count().alias("count"),
        value.sum().alias("sum"),
        (value * value).sum().alias("squares"),
        value.min().alias("least"),
        value.max().alias("greatest"),
        *ends,
    )
    n_keys = len(keys)
    return [(*row[:n_keys], _partial(*row[n_keys:])) for row in totals.iter_rows()]


def _partial(
    count: int, total: int, squares: int, least: int, greatest: int, *ends: int
) -> Partial:
    return Partial(
        count=count,
        sum=total,
        squares=squares,
        least=least,
        greatest=greatest,
        first=((ends[0], ends[1], b""), ends[2]),
        last=((ends[3], ends[4], b""), ends[5]),
    )
