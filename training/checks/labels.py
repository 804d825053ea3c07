"""What the label tables lack; the few columns that footers do not tell of are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from training.checks.finding import Finding
from training.checks.project import ProjectView
from training.dataset.label_rules import encode_labels, find_span_problem
from training.dataset.label_table import (
    find_schema_faults,
    list_columns,
    locate_label_table,
    read_columns,
)
from training.dataset.split import assign_spans
from zeroskew.contract.errors.project import DatasetError, TrainingError
from zeroskew.contract.errors.sentences import first_line
from zeroskew.contract.label_columns import EVENT_TIMESTAMP, KNOWN_AT, LABEL, SPAN
from zeroskew.contract.manifest import FieldType
from zeroskew.declarations.model_spec import ModelSpec
from zeroskew.features.offline_store.column_types import (
    describe_misfit,
    epoch_microseconds,
    find_misfits,
)
from zeroskew.features.offline_store.parquet.part_schemas import UNREADABLE, PartFiles, open_parts
from zeroskew.features.offline_store.parquet.table_files import parquet_files

__all__ = ["check_labels"]

_INT64: Final = pl.Int64()


def check_labels(project: ProjectView) -> Iterator[Finding]:
    """Hold each model's label table to what the model declares."""
    for name, spec in project.models.items():
        place = f"{name}.py: labels"
        for said in _find_in_table(project, spec):
            yield Finding(place, said, name)


def _find_in_table(project: ProjectView, spec: ModelSpec) -> Iterator[str]:
    root = locate_label_table(project.workspace.lake, spec)
    try:
        files = parquet_files(root)
        parts = open_parts(files, f"label table {spec.labels.table!r}") if files else None
    except TrainingError as error:
        yield str(error)
        return
    if parts is None:
        if not project.awaits_tables:
            yield f"Got no Parquet file in {root}, but expected the label table"
        return
    wanted = list_columns(spec, spec.request)
    refused = [parts.refused[column] for column in sorted(wanted & set(parts.refused))]
    faults = refused or find_schema_faults(spec, parts.schema)
    yield from faults
    if not faults:
        yield from _find_in_fields(spec, parts)
        yield from _find_in_values(spec, parts)


def _find_in_fields(spec: ModelSpec, parts: PartFiles) -> Iterator[str]:
    """Read the integer fields whose columns may have numbers beyond 64 bits."""
    for field in spec.request:
        if field.type is not FieldType.INTEGER:
            continue
        misfits = find_misfits(parts.frame, field.name, _INT64)
        try:
            found = None if misfits is None else misfits.head(1).collect()
        except UNREADABLE as error:
            yield f"Got {first_line(error)}, but expected whole Parquet files"
            return
        if found is not None and not found.is_empty():
            stored, what = parts.schema[field.name], f"column {field.name!r}"
            yield f"{describe_misfit(found.item(), stored, _INT64, what=what)}, as declared"


def _find_in_values(spec: ModelSpec, parts: PartFiles) -> Iterator[str]:
    """Read the label and the two times, and nothing else."""
    try:
        rows = read_columns(parts, spec)
        rows = rows.with_columns(encode_labels(spec, rows[LABEL]).alias(LABEL)).drop_nulls()
    except TrainingError as error:
        yield str(error)
        return
    if rows.is_empty():
        yield f"Got no labelled row in {spec.labels.table!r}, but expected some"
        return
    rows = _in_utc(rows)
    empty = [said for one in spec.split.spans().items() if (said := _say_empty(rows, *one))]
    yield from empty
    if not empty:
        try:
            spanned = assign_spans(rows, spec.split)
        except DatasetError as error:
            yield str(error)
            return
        if (problem := find_span_problem(spec, spanned[LABEL], spanned[SPAN])) is not None:
            yield problem


def _say_empty(rows: pl.DataFrame, span: str, bounds: tuple[Any, Any]) -> str | None:
    begin, end = bounds
    times: Any = rows[EVENT_TIMESTAMP]
    if times.is_between(begin, end, closed="left").any():
        return None
    return (
        f"Got no labelled row in the split's {span} span from {begin:%Y-%m-%d} to {end:%Y-%m-%d}, "
        f"but expected some; the table has {times.min():%Y-%m-%d} to {times.max():%Y-%m-%d}"
    )


def _in_utc(rows: pl.DataFrame) -> pl.DataFrame:
    """Return both times as the trainer has them; naive ones are UTC."""
    instant = pl.Datetime("us", "UTC")
    return rows.with_columns(
        epoch_microseconds(rows[name]).cast(instant).alias(name)
        for name in (EVENT_TIMESTAMP, KNOWN_AT)
    )
