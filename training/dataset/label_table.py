"""The label table: who was asked about when, what came true, and when that was known.

``docs/training_data.md`` says what may stand in it. Schema and values are checked before anything
is joined; every fault is one sentence that names the table and the column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from training.dataset.label_rules import encode_labels
from zeroskew.contract.errors.project import DatasetError
from zeroskew.contract.errors.sentences import first_line, join_names
from zeroskew.contract.label_columns import EVENT_TIMESTAMP, KNOWN_AT, LABEL
from zeroskew.contract.manifest import FieldType, RequestField
from zeroskew.contract.number_bounds import INT64, MAX_FLOAT32
from zeroskew.declarations.model_spec import ModelSpec
from zeroskew.features.offline_store.column_types import (
    TEXT,
    beyond_exact_float,
    conform,
    is_whole,
    outside,
)
from zeroskew.features.offline_store.errors import SourceError
from zeroskew.features.offline_store.parquet.parquet_source import INSTANT_OF_DAY
from zeroskew.features.offline_store.parquet.part_schemas import UNREADABLE, PartFiles, open_parts
from zeroskew.features.offline_store.parquet.table_files import (
    Place,
    parquet_files,
    partition_columns,
)

__all__ = [
    "LabelRows",
    "find_schema_faults",
    "list_columns",
    "load_labels",
    "locate_label_table",
    "open_label_table",
    "read_columns",
    "read_label_rows",
]

_INSTANT: Final = pl.Datetime("us", "UTC")

# What a column of the table must be, by the type of the request field it stands for, and what it
# becomes. A column that is nowhere but null fits all.
_KINDS: Final[dict[FieldType, tuple[str, Callable[[pl.DataType], bool], pl.DataType]]] = {
    FieldType.STRING: ("text", lambda dtype: isinstance(dtype, TEXT), pl.String()),
    FieldType.INTEGER: ("whole numbers", lambda dtype: dtype.is_integer(), pl.Int64()),
    FieldType.NUMBER: ("numbers", lambda dtype: dtype.is_numeric(), pl.Float64()),
    FieldType.BOOLEAN: ("booleans", lambda dtype: dtype == pl.Boolean, pl.Boolean()),
    FieldType.TIMESTAMP: ("times", lambda dtype: isinstance(dtype, pl.Datetime), _INSTANT),
}


@dataclass(frozen=True)
class LabelRows:
    """Rows of a label table; a user's columns and the trainer's stand apart, row by row.

    Attributes
    ----------
    request
        The request fields in the types of the service: String, Int64, Float64, Boolean, or
        Datetime in UTC by the microsecond.
    labels
        ``event_timestamp`` and ``label_known_at`` (Datetime in UTC) and ``label`` (Float64).
    left_out
        How many rows were left out, by what they lack.
    """

    request: pl.DataFrame
    labels: pl.DataFrame
    left_out: dict[str, int]


def list_columns(spec: ModelSpec, fields: Sequence[RequestField]) -> set[str]:
    """Return the label table's columns for some request fields, the two times and the label."""
    labels = spec.labels
    names = (field.name for field in fields)
    return {EVENT_TIMESTAMP, labels.known_at, *names, *labels.label.meta.root_names()}


def locate_label_table(lake: Place, spec: ModelSpec) -> Place:
    """Return the folder of a model's label table, or its address in an object store."""
    name = spec.labels.table
    return f"{lake.rstrip('/')}/{name}" if isinstance(lake, str) else lake / name


def find_schema_faults(spec: ModelSpec, schema: pl.Schema) -> list[str]:
    """Return a sentence for each column of a label table that is missing or of another type."""
    kinds = {field.name: _KINDS[field.type] for field in spec.request}
    instants = (EVENT_TIMESTAMP, spec.labels.known_at)
    kinds |= dict.fromkeys(instants, _KINDS[FieldType.TIMESTAMP])
    table = spec.labels.table
    if missing := sorted(list_columns(spec, spec.request) - set(schema)):
        return [
            f"Got label table {table!r} without columns {missing}, but expected them among "
            f"{join_names(schema)}"
        ]
    return [
        f"Got column {name!r} of type {schema[name]} in {table!r}, but expected {described}"
        f"{INSTANT_OF_DAY if schema[name] == pl.Date else ''}"
        for name, (described, fits, _) in kinds.items()
        if schema[name] != pl.Null and not fits(schema[name])
    ]


def open_label_table(lake: Place, spec: ModelSpec) -> PartFiles:
    """Open the label table and check its schema; only the files' footers are read.

    Raises
    ------
    DatasetError
        If there is no file, or a column is missing, differs between files or is of another type.
    SourceError
        If a file is no Parquet, or the lake cannot be read.
    """
    root = locate_label_table(lake, spec)
    files = parquet_files(root)
    if not files:
        raise DatasetError(
            f"Got no Parquet file in {root}, but expected the label table of {spec.name}; run "
            "`zeroskew prepare` first"
        )
    parts = open_parts(files, f"label table {spec.labels.table!r}")
    wanted = list_columns(spec, spec.request)
    for column in sorted(wanted & set(parts.refused)):
        raise DatasetError(parts.refused[column])
    for sentence in find_schema_faults(spec, parts.schema):
        folders = wanted & (set(partition_columns(root, files)) - set(parts.schema))
        more = f"; {sorted(folders)} are names of folders, not columns" if folders else ""
        raise DatasetError(sentence + more)
    return parts


def read_columns(
    parts: PartFiles, spec: ModelSpec, fields: Sequence[RequestField] = ()
) -> pl.DataFrame:
    """Read columns of a label table in the types that it has.

    Returns
    -------
    DataFrame
        ``field:<name>`` of each of ``fields``, ``event_timestamp``, ``label_known_at`` and
        ``label``.

    Raises
    ------
    DatasetError
        If the label's expression cannot be evaluated.
    SourceError
        If a file cannot be read.
    """
    table = spec.labels.table
    query = parts.frame.select(
        *(pl.col(field.name).alias(f"field:{field.name}") for field in fields),
        pl.col(EVENT_TIMESTAMP),
        pl.col(spec.labels.known_at).alias(KNOWN_AT),
        spec.labels.label.alias(LABEL),
    )
    try:
        return query.collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        # An expression may fail as a file does; what is broken fails without it as well.
        try:
            parts.frame.select(sorted(list_columns(spec, fields))).collect()
        except UNREADABLE as broken:
            raise SourceError(
                f"Got label table {table!r} that cannot be read ({first_line(broken)}), but "
                "expected whole Parquet files"
            ) from broken
        raise DatasetError(
            f"Got {first_line(error)} from the label's expression on {table!r}, but expected "
            "numbers or booleans"
        ) from error


def read_label_rows(lake: Place, spec: ModelSpec) -> LabelRows:
    """Read all rows with a prediction time, in order of it, whether they have a label or not.

    Raises
    ------
    DatasetError
        If a column is not what the model declares, or holds a value that the service refuses.
    SourceError
        If a file cannot be read.
    """
    parts = open_label_table(lake, spec)
    table = spec.labels.table
    rows = read_columns(parts, spec, spec.request)
    instants = [
        conform(rows[name], _INSTANT, column=column).alias(name)
        for name, column in ((EVENT_TIMESTAMP, EVENT_TIMESTAMP), (KNOWN_AT, spec.labels.known_at))
    ]
    request = [_read_field(rows[f"field:{field.name}"], field, table) for field in spec.request]
    rows = pl.DataFrame([*request, *instants, encode_labels(spec, rows[LABEL])])
    n_untimed = rows[EVENT_TIMESTAMP].null_count()
    names = [field.name for field in spec.request]
    rows = rows.drop_nulls(EVENT_TIMESTAMP).sort(
        EVENT_TIMESTAMP, *(f"field:{name}" for name in names)
    )
    return LabelRows(
        request=rows.select(pl.col(f"field:{name}").alias(name) for name in names),
        labels=rows.select(EVENT_TIMESTAMP, KNOWN_AT, LABEL),
        left_out={EVENT_TIMESTAMP: n_untimed},
    )


def load_labels(lake: Place, spec: ModelSpec) -> LabelRows:
    """Read the rows to fit and to judge on: those with a time, a label, and when it was known.

    A label whose ``known_at`` is null was never known to anybody.

    Raises
    ------
    DatasetError
        If the table or one of its columns is not what the model declares, a label is no finite
        number, a row is there twice, or no row has a label.
    SourceError
        If a file is no Parquet, or the lake cannot be read.
    """
    read = read_label_rows(lake, spec)
    labels, table = read.labels, spec.labels.table
    is_labelled = labels[LABEL].is_not_null()
    kept = is_labelled & labels[KNOWN_AT].is_not_null()
    left_out = read.left_out | {
        LABEL: int((~is_labelled).sum()),
        spec.labels.known_at: int((is_labelled & ~kept).sum()),
    }
    request, labels = read.request.filter(kept), labels.filter(kept)
    if labels.is_empty():
        lacking = ", ".join(f"{n:,} without {name}" for name, n in left_out.items() if n)
        raise DatasetError(
            f"Got no labelled row in {table!r}, but expected some" + (lacking and f"; {lacking}")
        )
    for field in spec.request:
        if not field.nullable and (n_null := request[field.name].null_count()):
            raise DatasetError(
                f"Got {n_null:,} labelled rows without {field.name!r}, but expected none: the "
                "service refuses such requests; declare the field nullable or leave them out"
            )
    together = pl.concat([request.rename(lambda name: f"field:{name}"), labels], how="horizontal")
    if n_repeated := together.height - together.n_unique():
        raise DatasetError(
            f"Got {n_repeated:,} repeated rows in {table!r}, but expected each label "
            "once: a row that is there twice counts twice"
        )
    return LabelRows(request, labels, {name: n for name, n in left_out.items() if n})


def _read_field(values: pl.Series, field: RequestField, table: str) -> pl.Series:
    """Return a request field's column as the service takes it, under its name here."""
    name, dtype = values.name, values.dtype
    if dtype.is_float():
        values = values.fill_nan(None)
    if is_whole(dtype) and field.type is FieldType.NUMBER:
        rounded = [one for one in beyond_exact_float(values) if float(one) != one]
        _refuse_values(rounded, field, table, "numbers that float64 holds: declare it an integer")
    if dtype.is_integer() and field.type is FieldType.INTEGER:
        beyond = outside(values, INT64.start, INT64.stop - 1)
        _refuse_values(beyond, field, table, "whole numbers of 64 bits, sign included")
    values = conform(values, _KINDS[field.type][2], column=field.name)
    if field.type is FieldType.NUMBER:
        beyond = values.filter(values.abs() > MAX_FLOAT32)
        _refuse_values(beyond, field, table, "finite numbers within float32, as the service does")
    if field.choices is not None:
        others = values.filter(~values.is_in(list(field.choices)))
        _refuse_values(others, field, table, "one of the field's choices")
    return values.alias(name)


def _refuse_values(
    values: pl.Series | list[Any], field: RequestField, table: str, expected: str
) -> None:
    if len(values):
        raise DatasetError(
            f"Got {values[0]!r} in column {field.name!r} of {table!r} ({len(values):,} such rows), "
            f"but expected {expected}"
        )
