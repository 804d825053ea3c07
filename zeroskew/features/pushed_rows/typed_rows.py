"""Pushed rows as a frame with the columns and types of their table."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import polars as pl
from feast.data_source import DataSource

from zeroskew.contract.errors.sentences import first_line
from zeroskew.contract.pushed_rows import PushedColumn, PushedRows
from zeroskew.features.offline_store.column_types import conform, outside
from zeroskew.features.offline_store.errors import SourceError
from zeroskew.features.offline_store.time_slices import FIRST_INSTANT, LAST_INSTANT

__all__ = ["CALLER_CREATED", "frame_of"]

CALLER_CREATED: Final = "__caller_created"
"""Whether the caller said when a row was created."""

_US: Final = 1_000_000
_UTC: Final = pl.Datetime("us", "UTC")
_SCALARS: Final[dict[str, pl.DataType]] = {
    "BYTES": pl.Binary(),
    "PDF_BYTES": pl.Binary(),
    "IMAGE_BYTES": pl.Binary(),
    "STRING": pl.String(),
    "INT32": pl.Int32(),
    "INT64": pl.Int64(),
    "DOUBLE": pl.Float64(),
    "FLOAT": pl.Float32(),
    "BOOL": pl.Boolean(),
    "UNIX_TIMESTAMP": pl.Int64(),
    "JSON": pl.String(),
    "UUID": pl.String(),
    "TIME_UUID": pl.String(),
    "DECIMAL": pl.String(),
}


def frame_of(
    rows: PushedRows, source: DataSource, schema: pl.Schema | None, optional: Sequence[str] = ()
) -> pl.DataFrame:
    """Return pushed rows under their source's names, in the order in which they came.

    Parameters
    ----------
    rows
        What was pushed.
    source
        The source of the table.
    schema
        The table's columns; ``None`` where there is no file yet, and the rows decide.
    optional
        Columns of the table that may be left out.

    Returns
    -------
    pl.DataFrame
        The table's columns, null where nothing reads them, and `CALLER_CREATED`.

    Raises
    ------
    SourceError
        If a value has no equal in the table's type, or the table lacks a column.
    """
    original = {new: old for old, new in source.field_mapping.items()}
    columns = {original.get(name, name): column for name, column in rows.columns.items()}
    times = _times_of(rows, source)
    if schema is None:
        frame = [_series(name, one, None) for name, one in columns.items()] + list(times.values())
        return pl.DataFrame(frame).with_columns(_caller_created(rows))
    missing = sorted((columns.keys() | times.keys()) - set(schema))
    if missing:
        raise SourceError(
            f"Got pushed rows with {missing}, but expected the columns {schema.names()} of source "
            f"{source.name!r}."
        )
    frame = []
    for name, dtype in schema.items():
        if name in times:
            frame.append(conform(times[name], dtype, column=name))
        elif name in columns:
            frame.append(_series(name, columns[name], dtype))
        elif name not in optional:
            frame.append(pl.repeat(None, len(rows.event_us), dtype=dtype, eager=True).alias(name))
    return pl.DataFrame(frame).with_columns(_caller_created(rows))


def _times_of(rows: PushedRows, source: DataSource) -> dict[str, pl.Series]:
    """Return the event times and, where the source has them, the created ones."""
    event = source.timestamp_field
    times = {event: pl.Series(event, rows.event_us, pl.Int64).cast(_UTC)}
    created = source.created_timestamp_column
    if created:
        known = [rows.received_us if us is None else us for us in rows.created_us]
        times[created] = pl.Series(created, known, pl.Int64).cast(_UTC)
    original = {new: old for old, new in source.field_mapping.items()}
    return {
        original.get(name, name): one.alias(original.get(name, name)) for name, one in times.items()
    }


def _caller_created(rows: PushedRows) -> pl.Series:
    return pl.Series(CALLER_CREATED, [us is not None for us in rows.created_us], pl.Boolean)


def _series(name: str, column: PushedColumn, dtype: pl.DataType | None) -> pl.Series:
    kind = column.type.removesuffix("_LIST").removesuffix("_SET")
    is_list = kind != column.type
    if dtype is not None and (kind not in _SCALARS or isinstance(dtype, pl.Struct)):
        return _nested(name, column, dtype)
    if kind not in _SCALARS:
        return pl.Series(name, [_to_json(value) for value in column.values], pl.String)
    inner = _SCALARS[kind]
    values: Sequence[Any] = column.values
    if isinstance(inner, pl.Binary):
        values = [_each(value, base64.b64decode) for value in values]
    series = pl.Series(name, values, pl.List(inner) if is_list else inner, strict=True)
    if kind == "UNIX_TIMESTAMP" and _is_time(dtype):
        _require_calendar(series.explode(empty_as_null=False) if is_list else series, name)
        series = (series.list.eval(pl.element() * _US) if is_list else series * _US).cast(
            pl.List(_UTC) if is_list else _UTC
        )
    return series if dtype is None else conform(series, dtype, column=name)


def _require_calendar(seconds: pl.Series, name: str) -> None:
    """Raise where seconds are of no year from 1 to 9999, such as milliseconds by mistake."""
    if len(beyond := outside(seconds, FIRST_INSTANT // _US, LAST_INSTANT // _US)):
        raise SourceError(
            f"Got {beyond[0]} seconds since 1970 in column {name!r}, but expected the years 1 to "
            "9999."
        )


def _is_time(dtype: pl.DataType | None) -> bool:
    inner = getattr(dtype, "inner", dtype)
    return inner is None or isinstance(inner, pl.Datetime)


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, list):
        return [None if one is None else change(one) for one in value]
    return None if value is None else change(value)


def _nested(name: str, column: PushedColumn, dtype: pl.DataType) -> pl.Series:
    """Return maps, structs and lists of them in the table's type, or as JSON where it has text."""
    if isinstance(dtype, pl.String):
        return pl.Series(name, [_to_json(value) for value in column.values], dtype)
    values = [
        _fit(json.loads(value) if isinstance(value, str) else value, dtype, name)
        for value in column.values
    ]
    try:
        return pl.Series(name, values, dtype, strict=True)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise SourceError(
            f"Got values in column {name!r} that do not fit ({first_line(error)}), but expected "
            f"values of {dtype}."
        ) from error


def _fit(value: Any, dtype: pl.DataType, name: str) -> Any:
    if value is None:
        return None
    if isinstance(dtype, pl.Struct):
        fields = {field.name: field.dtype for field in dtype.fields}
        if not isinstance(value, Mapping) or not fields.keys() >= value.keys():
            raise SourceError(
                f"Got {str(value)[:80]} in column {name!r}, but expected a value of {dtype}."
            )
        return {key: _fit(value.get(key), fields[key], name) for key in fields}  # type: ignore[arg-type]  # instances, here
    if isinstance(dtype, pl.List):
        if isinstance(value, Mapping):  # Arrow's maps are lists of keys and values.
            value = [{"key": key, "value": one} for key, one in value.items()]
        return [_fit(one, dtype.inner, name) for one in value]  # type: ignore[arg-type]  # as above
    return value


def _to_json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)
