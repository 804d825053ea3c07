"""Events as the kernel takes them, from a frame of raw rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from zeroskew.contract.time.epoch import ALWAYS_US, NEVER_US
from zeroskew.contract.window_plan import EventCondition, EventInput, WindowFunction, WindowPlan
from zeroskew.features.offline_store.asof_join import CREATED, EVENT, KNOWN
from zeroskew.features.offline_store.column_types import conform, epoch_microseconds
from zeroskew.features.offline_store.source_rows import sort_by_time
from zeroskew.windows.events import Events, InputValues, ordered_bits
from zeroskew.windows.state import Event

__all__ = [
    "ENTITY",
    "EVENT_ID",
    "column_name",
    "input_columns",
    "iter_events",
    "last_versions",
    "make_events",
    "sort_by_entity",
    "typed_columns",
]

ENTITY: Final = "entity"
EVENT_ID: Final = "id"
_UNTIL: Final = "until"

_ENDS: Final = (WindowFunction.FIRST, WindowFunction.LAST)
"""The functions to which it matters which of several values of one moment is the last."""

_POLARS: Final[dict[str, pl.DataType]] = {
    "INT64": pl.Int64(),
    "DOUBLE": pl.Float64(),
    "BOOL": pl.Boolean(),
    "STRING": pl.String(),
}


def column_name(column: str) -> str:
    """Return how a column of the table is called beside the kernel's own."""
    return f"value:{column}"


def typed_columns(rows: pl.DataFrame, plan: WindowPlan) -> pl.DataFrame:
    """Bring the events' columns to their declared types, and ids to text; NaN becomes null.

    Raises
    ------
    SourceError
        If a value has no equal in its declared type.
    """
    typed = [
        _typed(rows[column_name(column)], kind, column).alias(column_name(column))
        for column, kind in plan.columns.items()
    ]
    if plan.event_id is not None:
        # As text of its declared type, an empty one being none.
        by_name = {series.name: series for series in typed}
        ids = by_name[column_name(plan.event_id)].cast(pl.String)
        typed.append(ids.replace({"": None}).alias(EVENT_ID))
    return rows.with_columns(typed)


def _typed(values: pl.Series, kind: str, column: str) -> pl.Series:
    if kind == "UNIX_TIMESTAMP":
        return epoch_microseconds(values)
    typed = conform(values, _POLARS[kind], column=column)
    return typed.fill_nan(None) if kind == "DOUBLE" else typed


def make_events(rows: pl.DataFrame, plan: WindowPlan, *, created_cutoff: bool) -> Events:
    """Order events and say from when to when each is known.

    Parameters
    ----------
    rows
        ``entity`` (Int64, a number for each entity; null where nobody asks for it), ``event`` and
        perhaps ``created`` (Int64 microseconds), perhaps ``id``, and what `typed_columns` returned.
        Without ``created`` an event is created when it happens.
    plan
        The view's windows.
    created_cutoff
        Whether an event is unknown before its created time. One whose created time is null is
        then never known. Without it each is known from its event time on, and of several versions
        of an event the last created one stands.

    Returns
    -------
    Events
    """
    if CREATED not in rows.columns:
        rows = rows.with_columns(pl.col(EVENT).alias(CREATED))
    elif created_cutoff and rows[CREATED].has_nulls():
        rows = rows.filter(pl.col(CREATED).is_not_null())
    known = pl.max_horizontal(EVENT, CREATED) if created_cutoff else pl.col(EVENT)
    rows = rows.with_columns(known.alias(KNOWN), *input_columns(plan))
    if plan.event_id is not None:
        rows = _end_versions(rows, plan, created_cutoff=created_cutoff)
    if rows[ENTITY].has_nulls():
        rows = rows.filter(pl.col(ENTITY).is_not_null())
    if plan.event_id is not None:
        rows = rows.sort(EVENT, CREATED, EVENT_ID, nulls_last=False)
    else:
        rows = sort_by_time(rows, [EVENT, CREATED])
    return _by_entity(rows, plan)


def _by_entity(rows: pl.DataFrame, plan: WindowPlan) -> Events:
    """Bring rows that are in order of time into that of entity and time."""
    entity = rows[ENTITY].to_numpy()
    order = _order_of(entity)
    event_us = rows[EVENT].to_numpy()[order]
    is_known_at_once = rows.select((pl.col(KNOWN) == pl.col(EVENT)).all()).item()
    tied = _find_ties(rows.select(ENTITY, EVENT, CREATED, pl.col(f"^{EVENT_ID}$")), order)
    ended = {one.input for one in plan.features if one.function in _ENDS}
    return Events(
        entity=entity[order],
        event_us=event_us,
        known_us=event_us if is_known_at_once else rows[KNOWN].to_numpy()[order],
        until_us=rows[_UNTIL].to_numpy()[order] if _UNTIL in rows.columns else None,
        inputs=tuple(
            _make_input(rows[_input_name(place)], one, order, tied if place in ended else None)
            for place, one in enumerate(plan.inputs)
        ),
    )


def sort_by_entity(rows: pl.DataFrame) -> pl.DataFrame:
    """Bring rows that are in order of time into that of ``entity`` and time."""
    return rows[_order_of(rows[ENTITY].to_numpy())]


def _order_of(entity: NDArray[np.int64]) -> NDArray[np.intp]:
    # Small numbers are sorted by their digits, which takes a tenth of the time.
    narrow = len(entity) > 0 and int(entity.max()) < 1 << 16
    return np.argsort(entity.astype(np.uint16) if narrow else entity, kind="stable")


def _input_name(place: int) -> str:
    return f"input:{place}"


def input_columns(plan: WindowPlan) -> list[pl.Expr]:
    """Return what events give to each input as ``input:i``, null where nothing.

    Booleans are whole numbers then.
    """
    expressions = []
    for place, one in enumerate(plan.inputs):
        meets = pl.lit(True)
        for condition in one.where:
            meets = meets & _condition(condition)
        value = pl.lit(True) if one.column is None else pl.col(column_name(one.column))
        if one.type == "BOOL":
            value = value.cast(pl.Int64)
        expressions.append(pl.when(meets).then(value).alias(_input_name(place)))
    return expressions


def iter_events(
    rows: pl.DataFrame, key_names: Sequence[str], plan: WindowPlan
) -> Iterator[tuple[tuple[Any, ...], Event]]:
    """Yield the join keys and the event of each row.

    Parameters
    ----------
    rows
        As for `make_events`, with ``created`` and `input_columns`.
    key_names
        The columns of the join keys.
    plan
        The view's windows.
    """
    event_id = pl.lit("") if plan.event_id is None else pl.col(EVENT_ID).fill_null("")
    inputs = [_input_name(place) for place in range(len(plan.inputs))]
    n_keys = len(key_names)
    columns = rows.select(*key_names, EVENT, CREATED, event_id.alias(EVENT_ID), *inputs)
    for row in columns.iter_rows():
        event_us, created_us, told, *values = row[n_keys:]
        yield row[:n_keys], Event(event_us, created_us, told.encode(), tuple(values))


def _condition(one: EventCondition) -> pl.Expr:
    column: Any = pl.col(column_name(one.column))
    if one.op == "in":
        assert isinstance(one.value, tuple)
        return column.is_in(list(one.value))
    found: pl.Expr = {
        "is_null": column.is_null,
        "is_not_null": column.is_not_null,
        "==": lambda: column == one.value,
        "!=": lambda: column != one.value,
        "<": lambda: column < one.value,
        "<=": lambda: column <= one.value,
        ">": lambda: column > one.value,
        ">=": lambda: column >= one.value,
    }[one.op]()
    return found


def _end_versions(rows: pl.DataFrame, plan: WindowPlan, *, created_cutoff: bool) -> pl.DataFrame:
    """Let each version of an event stand until the next one is created.

    Without the cutoff only the last one stands. A row without an id is an event of its own.
    """
    if not _has_versions(rows):
        return rows
    rows = _sort_versions(rows, plan)
    end = pl.col(CREATED).shift(-1).over(EVENT_ID) if created_cutoff else pl.lit(NEVER_US)
    until = pl.when(_HAS_NEXT).then(end.fill_null(NEVER_US)).otherwise(ALWAYS_US)
    rows = rows.with_columns(until.alias(_UNTIL))
    return rows.filter(pl.col(_UNTIL) > pl.col(KNOWN))


def last_versions(rows: pl.DataFrame, plan: WindowPlan) -> pl.DataFrame:
    """Leave of several versions of an event the last created one.

    Parameters
    ----------
    rows
        As for `make_events`, with `input_columns`.
    plan
        The view's windows.
    """
    return _sort_versions(rows, plan).filter(~_HAS_NEXT) if _has_versions(rows) else rows


_HAS_NEXT: Final = pl.col(EVENT_ID).is_not_null() & ~pl.col(EVENT_ID).is_last_distinct()
"""Of rows in the order of their versions, those that a later one replaces."""


def _has_versions(rows: pl.DataFrame) -> bool:
    return bool(rows[EVENT_ID].drop_nulls().is_duplicated().any())


def _sort_versions(rows: pl.DataFrame, plan: WindowPlan) -> pl.DataFrame:
    values = {
        f"order:{place}": _ordered(rows[_input_name(place)]) for place in range(len(plan.inputs))
    }
    rows = rows.with_columns(series.alias(name) for name, series in values.items())
    return rows.sort([CREATED, EVENT, *values], nulls_last=False)


def _ordered(values: pl.Series) -> pl.Series:
    if values.dtype != pl.Float64:
        return values
    ordered = pl.Series(ordered_bits(values.fill_null(0.0).to_numpy()))
    return pl.select(pl.when(values.is_not_null()).then(ordered)).to_series()


def _find_ties(times: pl.DataFrame, order: NDArray[np.intp]) -> tuple[NDArray[np.intp], ...]:
    """Return the places of events that nothing puts in order, and numbers of their groups."""
    same = np.ones(max(len(order) - 1, 0), np.bool_)
    for name in times.columns:
        column = times[name]
        values = column.to_numpy()[order]
        if column.dtype == pl.String:
            values = column.rank("dense").fill_null(0).to_numpy()[order]
        same &= values[1:] == values[:-1]
    is_later = np.append(False, same)[: len(order)]
    is_tied = is_later | np.append(is_later[1:], False)[: len(order)]
    places = np.flatnonzero(is_tied)
    return places, np.cumsum(~is_later)[places]


def _make_input(
    given: pl.Series,
    one: EventInput,
    order: NDArray[np.intp],
    tied: tuple[NDArray[np.intp], ...] | None,
) -> InputValues:
    valid = given.is_not_null().to_numpy()[order]
    text = None
    if one.type == "STRING":
        distinct = given.drop_nulls().unique().sort()
        codes = given.cast(pl.Enum(distinct)).to_physical().cast(pl.Int64)
        values, text = codes.fill_null(0).to_numpy(), distinct.to_numpy()
    elif one.type == "DOUBLE":
        values = given.fill_null(0.0).to_numpy()
    else:
        values = given.cast(pl.Int64).fill_null(0).to_numpy()
    values = values[order]
    if tied is not None and len(tied[0]):
        # Of events at one moment the one with the greatest value comes last.
        places, group = tied
        ordered = ordered_bits(values[places]) if values.dtype == np.float64 else values[places]
        sorted_places = places[np.lexsort((ordered, valid[places], group))]
        values[places], valid[places] = values[sorted_places], valid[sorted_places]
    return InputValues(values, valid, text)
