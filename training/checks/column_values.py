"""Values that a view's declared types do not hold, found where the stored types allow them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
from feast.feature_view import DUMMY_ENTITY_ID

from training.checks.finding import Finding
from training.checks.project import ProjectView
from training.project.online_values import declared_columns
from zeroskew.contract.errors.project import TrainingError
from zeroskew.contract.number_bounds import EXACT_FLOAT
from zeroskew.features.offline_store.column_types import (
    describe_misfit,
    find_misfits,
    fits_declared,
)
from zeroskew.features.offline_store.parquet.parquet_source import ParquetTable

__all__ = ["check_view_values"]


def check_view_values(project: ProjectView) -> Iterator[Finding]:
    """Look for the first value of each doubtful column that training or `materialize` refuses.

    Only numbers stored in another type than declared are read, and of them no more than it
    takes to find one.
    """
    for view in project.definitions.views:
        try:
            table = project.open_table(view.batch_source)
        except TrainingError:
            continue  # A finding of `check_view_tables`.
        for said in _find_values(view, table):
            yield Finding(project.definitions.place("view", view), said)


def _find_values(view: Any, table: ParquetTable) -> Iterator[str]:
    mapping = {new: old for old, new in (view.batch_source.field_mapping or {}).items()}
    named = [column.name for column in view.entity_columns if column.name != DUMMY_ENTITY_ID]
    keys = [mapping.get(name, name) for name in named]
    features = [mapping.get(feature.name, feature.name) for feature in view.features]
    # Rows with a null key belong to no entity, and nobody reads them.
    rows = table.frame.filter(pl.col(key).is_not_null() for key in keys if key in table.schema)
    for column, dtype in declared_columns(view, keys, features).items():
        stored = table.schema.get(column)
        if stored is None or not fits_declared(stored, dtype):
            continue
        what = f"{'join key' if column in keys else 'feature'} {column!r}"
        try:
            if (said := _find_value(table, rows, column, dtype, what)) is not None:
                yield said
            elif column in keys and stored.is_float():
                yield from _find_inexact_key(table, rows, column, what)
        except TrainingError as error:
            yield str(error)


def _find_value(
    table: ParquetTable, rows: pl.LazyFrame, column: str, dtype: pl.DataType, what: str
) -> str | None:
    misfits = find_misfits(rows, column, dtype)
    if misfits is None or (found := table.collect(misfits.head(1))).is_empty():
        return None
    said = describe_misfit(found.item(), table.schema[column], dtype, what=what)
    return f"{said}, as declared" if dtype.is_integer() else said


def _find_inexact_key(
    table: ParquetTable, rows: pl.LazyFrame, column: str, what: str
) -> Iterator[str]:
    beyond = rows.select(column).filter(pl.col(column).abs() > EXACT_FLOAT)
    if not (found := table.collect(beyond.head(1))).is_empty():
        yield (
            f"Got {found.item()} among {table.schema[column]} in {what}, but expected whole "
            "numbers up to 2^53; write 64-bit integers"
        )
