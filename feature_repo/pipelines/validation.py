"""Which rows of the source tables are sound, and why the others are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors

from zeroskew import PrepareError

__all__ = ["AIRPORTS", "FLIGHTS", "PLANES", "REASONS", "WEATHER", "ValidatedTable", "validate"]

REASONS = "reasons"
_ROW = "row"
_COLUMN = "column"


@dataclass(frozen=True)
class ValidatedTable:
    """The rows of one table, parted.

    Parameters
    ----------
    valid : polars.DataFrame
        Sound rows in their order, each column of the type its schema states.
    quarantine : polars.DataFrame
        The other rows as they were read, with ``reasons``, a list of text.
    """

    valid: pl.DataFrame
    quarantine: pl.DataFrame


def _first_of_its_key(*key: str) -> pa.Check:
    return _row_rule(pl.struct(key).is_first_distinct(), f"first row of its {' and '.join(key)}")


def _row_rule(holds: pl.Expr, name: str) -> pa.Check:
    return pa.Check(lambda data: data.lazyframe.select(holds.fill_null(value=True)), error=name)


def _clock_time() -> list[pa.Check]:
    return [
        pa.Check.in_range(0, 2400),
        pa.Check(
            lambda data: data.lazyframe.select((pl.col(data.key) % 100 < 60).fill_null(value=True)),
            error="minutes below 60",
        ),
    ]


def _full_hour() -> list[pa.Check]:
    return [
        pa.Check.str_matches(r"^\d{4}-\d\d-\d\dT\d\d:00:00Z$"),
        pa.Check(
            lambda data: data.lazyframe.select(
                pl.col(data.key).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", strict=False).is_not_null()
            ),
            error="an hour that exists",
        ),
    ]


def _integer(*checks: pa.Check, nullable: bool = False) -> pa.Column:
    return pa.Column(pl.Int64, list(checks), nullable=nullable)


def _measure(low: float, high: float, *, nullable: bool = True) -> pa.Column:
    return pa.Column(pl.Float64, pa.Check.in_range(low, high), nullable=nullable)


def _code(pattern: str, *, nullable: bool = False) -> pa.Column:
    return pa.Column(pl.String, pa.Check.str_matches(pattern), nullable=nullable)


_ORIGIN = pa.Column(pl.String, pa.Check.isin(["EWR", "JFK", "LGA"]))
_AIRPORT = "^[A-Z0-9]{3,4}$"
_TAILNUM = "^[A-Z0-9]{3,6}$"
_DEPARTED, _ARRIVED = pl.col("dep_time").is_not_null(), pl.col("arr_delay").is_not_null()

FLIGHTS = pa.DataFrameSchema(
    {
        "year": _integer(pa.Check.in_range(1990, 2037)),
        "month": _integer(pa.Check.in_range(1, 12)),
        "day": _integer(pa.Check.in_range(1, 31)),
        "sched_dep_time": _integer(*_clock_time()),
        "dep_time": _integer(*_clock_time(), nullable=True),
        "dep_delay": _integer(pa.Check.in_range(-120, 2880), nullable=True),
        "sched_arr_time": _integer(*_clock_time()),
        "arr_delay": _integer(pa.Check.in_range(-180, 2880), nullable=True),
        "carrier": _code("^[A-Z0-9]{2}$"),
        "flight": _integer(pa.Check.in_range(1, 9999)),
        "tailnum": _code(_TAILNUM, nullable=True),
        "origin": _ORIGIN,
        "dest": _code(_AIRPORT),
        "air_time": _integer(pa.Check.in_range(5, 1440), nullable=True),
        "distance": _integer(pa.Check.in_range(1, 6000)),
    },
    checks=[
        _row_rule(pl.col("dep_delay").is_not_null() == _DEPARTED, "dep_delay where dep_time is"),
        _row_rule(_DEPARTED | ~_ARRIVED, "arr_delay only where dep_time is"),
        _first_of_its_key(
            "year", "month", "day", "carrier", "flight", "origin", "dest", "sched_dep_time"
        ),
    ],
    name="flights",
)

WEATHER = pa.DataFrameSchema(
    {
        "origin": _ORIGIN,
        "time_hour": pa.Column(pl.String, _full_hour()),
        "temp": _measure(-60, 130),
        "dewp": _measure(-80, 100),
        "humid": _measure(0, 100),
        "wind_dir": _measure(0, 360),
        "wind_speed": _measure(0, 200),
        "wind_gust": _measure(0, 250),
        "precip": _measure(0, 20),
        "pressure": _measure(850, 1100),
        "visib": _measure(0, 100),
    },
    checks=[_first_of_its_key("origin", "time_hour")],
    name="weather",
)

PLANES = pa.DataFrameSchema(
    {
        "tailnum": _code(_TAILNUM),
        "year": _integer(pa.Check.in_range(1930, 2037), nullable=True),
        "manufacturer": pa.Column(pl.String, nullable=True),
        "seats": _integer(pa.Check.in_range(1, 900), nullable=True),
    },
    checks=[_first_of_its_key("tailnum")],
    name="planes",
)

AIRPORTS = pa.DataFrameSchema(
    {
        "faa": _code(_AIRPORT),
        "lat": _measure(-90, 90, nullable=False),
        "lon": _measure(-180, 180, nullable=False),
        "tzone": pa.Column(pl.String, pa.Check.isin(sorted(available_timezones())), nullable=True),
    },
    checks=[_first_of_its_key("faa")],
    name="airports",
)


def validate(raw: pl.DataFrame, schema: Any) -> ValidatedTable:
    """Part `raw` into sound rows and rows for the quarantine.

    A row fails if a cell is not of its column's type, or breaks a check of its column or of
    the table. Columns that the schema does not name are left out of the sound rows.

    Parameters
    ----------
    raw : polars.DataFrame
        String columns, null where missing. May be empty.
    schema : pandera.polars.DataFrameSchema
        Columns, their types and checks; every check says row by row whether it holds.

    Returns
    -------
    ValidatedTable
        Reasons are sorted and name the column: ``"month fails in_range(1, 12)"``.

    Raises
    ------
    PrepareError
        If a column of the schema is missing.
    """
    if missing := [name for name in schema.columns if name not in raw.columns]:
        raise PrepareError(
            f"Got table {schema.name!r} with columns {raw.columns}, but expected also {missing}."
        )
    text = raw.select(list(schema.columns))
    typed = text.with_columns(
        pl.col(name).cast(column.dtype.type, strict=False)
        for name, column in schema.columns.items()
    )
    untyped = _untyped_cells(text, typed)
    failed = _failed_checks(typed, schema).join(untyped, on=[_ROW, _COLUMN], how="anti")
    failures = pl.concat([untyped, failed])
    reasons = failures.group_by(_ROW).agg(pl.col(REASONS).unique().sort())
    return ValidatedTable(
        valid=typed.with_row_index(_ROW).join(reasons, on=_ROW, how="anti").drop(_ROW),
        quarantine=raw.with_row_index(_ROW)
        .join(reasons, on=_ROW, maintain_order="left")
        .drop(_ROW),
    )


def _untyped_cells(text: pl.DataFrame, typed: pl.DataFrame) -> pl.DataFrame:
    reasons = [
        pl.when(text[name].is_not_null() & typed[name].is_null())
        .then(pl.lit(f"{name} is not {typed[name].dtype}"))
        .alias(name)
        for name in text.columns
    ]
    cells = text.with_row_index(_ROW).select(_ROW, *reasons)
    return cells.unpivot(index=_ROW, variable_name=_COLUMN, value_name=REASONS).drop_nulls()


def _failed_checks(typed: pl.DataFrame, schema: Any) -> pl.DataFrame:
    try:
        schema.validate(typed, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return pl.DataFrame(
            schema={_ROW: pl.get_index_type(), _COLUMN: pl.String, REASONS: pl.String}
        )
    of_a_column = pl.col("schema_context") == "Column"
    subject = pl.when(of_a_column).then(pl.col("column")).otherwise(pl.lit("row"))
    return cases.select(
        pl.col("index").cast(pl.get_index_type()).alias(_ROW),
        pl.when(of_a_column).then(pl.col("column")).cast(pl.String).alias(_COLUMN),
        (subject + " fails " + pl.col("check")).alias(REASONS),
    )
