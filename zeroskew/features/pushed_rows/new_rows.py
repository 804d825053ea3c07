"""Which of some pushed rows a table does not have yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from zeroskew.features.offline_store.parquet.parquet_source import ParquetTable, between
from zeroskew.features.pushed_rows.typed_rows import CALLER_CREATED

__all__ = ["TimeColumns", "keep_new"]

_STEP_US: Final = 1


@dataclass(frozen=True)
class TimeColumns:
    """What a table calls its event and created times; it may have none of the latter."""

    event: str
    created: str | None


@dataclass
class _Standing:
    """The last created row of an entity and event time, and its place if it is a pushed one."""

    created: int | None
    said: str
    place: int | None = None


def keep_new(
    rows: pl.DataFrame, keys: Sequence[str], times: TimeColumns, table: ParquetTable | None
) -> pl.DataFrame:
    """Leave the rows that say something new of their entity and event time.

    A row that is in the table already, as when a client materializes what it read there, is left
    out. So is one whose caller did not say when it was created, and that says what stands
    already: a request that was sent again. Of several such rows of one moment the last stays.

    Parameters
    ----------
    rows
        The pushed rows, in the order in which they came, with `CALLER_CREATED`.
    keys
        The table's join keys.
    times
        Its times.
    table
        The table without these rows; ``None`` where there is none yet.
    """
    columns = [name for name in rows.columns if name != CALLER_CREATED]
    known = _read_standing(rows.select(columns), keys, times, table)
    seen = {_say(row, times, with_created=True) for one in known.values() for row in one}
    standing = {entity: _last(stored, times) for entity, stored in known.items()}
    kept: list[dict[str, Any] | None] = []
    plain = _with_plain_times(rows, times)
    for row, entity in zip(plain.to_dicts(), _entities(plain, keys, times), strict=True):
        is_said = row.pop(CALLER_CREATED) or times.created is None
        if _say(row, times, with_created=True) in seen:
            continue
        before = standing.get(entity)
        if before is not None and not is_said:
            if before.said == _say(row, times):
                continue
            _follow(row, before, times, kept)
        created: Any = None if times.created is None else row[times.created]
        seen.add(_say(row, times, with_created=True))
        if before is None or before.created is None or created >= before.created:
            standing[entity] = _Standing(created, _say(row, times), len(kept))
        kept.append(row)
    schema = {name: plain.schema[name] for name in columns}
    found = pl.DataFrame([row for row in kept if row is not None], schema=schema, strict=True)
    return found.with_columns(
        found[name].cast(rows.schema[name]) for name in (times.event, times.created) if name
    )


def _follow(
    row: dict[str, Any], before: _Standing, times: TimeColumns, kept: list[dict[str, Any] | None]
) -> None:
    """Let a row come after the one that stands, where both were created at the same moment."""
    created = times.created
    assert created is not None
    if before.created is None or row[created] > before.created:
        return
    if before.place is not None and row[created] == before.created:
        kept[before.place] = None
    else:
        row[created] = before.created + _STEP_US


def _read_standing(
    rows: pl.DataFrame, keys: Sequence[str], times: TimeColumns, table: ParquetTable | None
) -> dict[str, list[dict[str, Any]]]:
    """Return the table's rows of the same entities and event times, by both."""
    if table is None:
        return {}
    event_us = rows[times.event].dt.timestamp("us")
    first, last = event_us.min(), event_us.max()
    assert isinstance(first, int)
    assert isinstance(last, int)
    wanted = rows.select(keys).unique()
    span = between(times.event, table.schema[times.event], first, last)
    there = table.collect(
        table.frame.filter(span)
        .select(rows.columns)
        .join(wanted.lazy(), on=list(keys), how="semi", maintain_order="left")
    )
    stored = _with_plain_times(there, times)
    found: dict[str, list[dict[str, Any]]] = {}
    for row, entity in zip(stored.to_dicts(), _entities(stored, keys, times), strict=True):
        found.setdefault(entity, []).append(row)
    return found


def _last(rows: Sequence[dict[str, Any]], times: TimeColumns) -> _Standing:
    if times.created is None:
        return _Standing(None, _say(rows[-1], times))
    created = times.created
    row = max(rows, key=lambda one: -(2**63) if one[created] is None else one[created])
    return _Standing(row[created], _say(row, times))


def _with_plain_times(rows: pl.DataFrame, times: TimeColumns) -> pl.DataFrame:
    """Return the rows with their times in ticks, which nothing rounds."""
    return rows.with_columns(
        pl.col(name).cast(pl.Int64) for name in (times.event, times.created) if name
    )


def _entities(rows: pl.DataFrame, keys: Sequence[str], times: TimeColumns) -> list[str]:
    return [repr(row) for row in rows.select(*keys, times.event).rows()]


def _say(row: dict[str, Any], times: TimeColumns, *, with_created: bool = False) -> str:
    """Return what a row says, as text: NaN is equal to itself, and 0.0 is not -0.0."""
    return repr([value for name, value in row.items() if with_created or name != times.created])
