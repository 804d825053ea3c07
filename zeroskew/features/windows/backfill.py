"""The states of all entities of a windowed view, from its table of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import polars as pl

from zeroskew.contract.errors.project import StepError
from zeroskew.features.offline_store.asof_join import CREATED, EVENT
from zeroskew.features.windows.event_rows import (
    input_columns,
    iter_events,
    last_versions,
)
from zeroskew.features.windows.old_events import fold_old_events
from zeroskew.features.windows.windowed_table import WindowedTable
from zeroskew.windows.state import GRACE_US, EntityState, StateFullError

__all__ = ["BuiltState", "build_states"]


@dataclass(frozen=True, slots=True)
class BuiltState:
    """An entity's state, and the values of its join keys in the view's order."""

    keys: tuple[Any, ...]
    state: EntityState


def build_states(
    view: WindowedTable, key_types: Sequence[pl.DataType], now_us: int
) -> Iterator[BuiltState]:
    """Yield the state of each entity, from all that was known at a moment.

    Parameters
    ----------
    view
        The view with its table open.
    key_types
        What its join keys are.
    now_us
        The moment in microseconds since the Unix epoch; later events are left out.

    Raises
    ------
    SourceError
        If a value does not fit its declared type.
    StepError
        At the end, if an entity has more events than its state may hold.
    """
    plan = view.windows
    rows = view.read_events(now_us, key_types, cutoff=True).drop_nulls(view.key_names)
    if CREATED not in rows.columns:
        rows = rows.with_columns(pl.col(EVENT).alias(CREATED))
    rows = rows.with_columns(input_columns(plan))
    if plan.event_id is not None:
        rows = last_versions(rows, plan)
    old = fold_old_events(rows, view.key_names, plan, now_us - GRACE_US)
    rows, states = old.rows, old.states
    rows = rows.sort([*view.key_names, EVENT, CREATED])
    full = []
    by_key = groupby(iter_events(rows, view.key_names, plan), key=itemgetter(0))
    for keys, found in by_key:
        state = states.pop(keys, None) or EntityState.empty(plan)
        try:
            state.add([event for _, event in found], plan, now_us - GRACE_US)
        except StateFullError as error:
            full.append(f"entity {', '.join(map(str, keys))}: {error}")
            continue
        yield BuiltState(keys, state)
    for keys, state in states.items():
        yield BuiltState(keys, state)
    if full:
        raise StepError(
            f"{len(full)} entities were not written, {full[0]}; declare a hop, or a greater "
            "max_events"
        )
