"""What the label tables lack; one column is read, the rest is told by the files' footers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from api.contract.manifest import FieldType
from training.checks.finding import Finding, join_names
from training.checks.project import ProjectView
from training.dataset import COLUMN_TYPES, EVENT_TIMESTAMP
from training.errors import TrainingError
from training.model_spec import ModelSpec
from training.offline_store.parquet_source import ParquetTable, differing_files
from training.offline_store.table_files import parquet_files

__all__ = ["check_labels"]

_UNREADABLE: Final = (pl.exceptions.PolarsError, OSError)


def check_labels(project: ProjectView) -> Iterator[Finding]:
    """Hold each model's label table to what the model declares."""
    for name, spec in project.models.items():
        place = f"{name}.py: labels"
        for said in _find_in_table(project, spec):
            yield Finding(place, said, name)


def _find_in_table(project: ProjectView, spec: ModelSpec) -> Iterator[str]:
    lake, name = project.workspace.lake, spec.labels.table
    try:
        root = f"{lake.rstrip('/')}/{name}" if isinstance(lake, str) else lake / name
        files = parquet_files(root)
    except TrainingError as error:
        yield str(error)
        return
    if not files:
        if not project.awaits_tables:
            yield f"Got no Parquet file in {lake}/{name}, but expected the label table"
        return
    frame = pl.scan_parquet([str(file) for file in files], hive_partitioning=False, glob=False)
    try:
        schema = frame.collect_schema()
    except _UNREADABLE as error:
        yield f"Got {_first_line(error)} from table {name!r}, but expected Parquet files"
        return
    table = ParquetTable(name, frame, schema, tuple(files))
    parts = [
        f"Got part file {file!r} of {name!r} with {said}, but expected the first one's columns"
        for file, said in differing_files(table)
    ]
    yield from parts
    types = list(_find_in_columns(spec, schema))
    yield from types
    if not types and not parts:
        yield from _find_in_values(spec, frame)


def _find_in_columns(spec: ModelSpec, schema: pl.Schema) -> Iterator[str]:
    instants = (EVENT_TIMESTAMP, spec.labels.known_at)
    expected = {field.name: COLUMN_TYPES[field.type] for field in spec.request}
    expected |= dict.fromkeys(instants, COLUMN_TYPES[FieldType.TIMESTAMP])
    table = spec.labels.table
    for column in dict.fromkeys((*expected, *spec.labels.label.meta.root_names())):
        if column not in schema:
            yield (
                f"Got table {table!r} without column {column!r}, but expected it among "
                f"{join_names(schema)}"
            )
        elif column in expected and not expected[column][1](schema[column]):
            yield (
                f"Got column {column!r} of type {schema[column]} in {table!r}, but expected "
                f"{expected[column][0]}"
            )


def _find_in_values(spec: ModelSpec, frame: pl.LazyFrame) -> Iterator[str]:
    """Read the label and the prediction times of the split's spans, and nothing else."""
    spans = spec.split.spans()
    moment = pl.col(EVENT_TIMESTAMP)
    try:
        rows = frame.select(label=spec.labels.label, moment=moment).collect()
    except _UNREADABLE as error:
        yield (
            f"Got {type(error).__name__} ({_first_line(error)}) from the label's expression, but "
            f"expected one over {spec.labels.table!r}"
        )
        return
    labelled = rows.filter(pl.col("label").is_not_null())
    if labelled.is_empty():
        yield f"Got no labelled row in {spec.labels.table!r}, but expected some"
        return
    for span, (begin, end) in spans.items():
        if labelled.filter(pl.col("moment").is_between(begin, end, closed="left")).is_empty():
            times: Any = labelled["moment"]
            yield (
                f"Got no labelled row in the split's {span} span from {begin:%Y-%m-%d} to "
                f"{end:%Y-%m-%d}, but expected some; the table has {times.min():%Y-%m-%d} to "
                f"{times.max():%Y-%m-%d}"
            )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
