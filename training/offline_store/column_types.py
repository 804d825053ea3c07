"""One type for values that two tables write differently; never a silent null."""

from __future__ import annotations

from typing import Final

import polars as pl
import pyarrow as pa
from feast.types import FeastType, from_feast_to_pyarrow_type
from polars.exceptions import InvalidOperationError

from training.offline_store.errors import OfflineStoreError, SourceError

__all__ = [
    "align_keys",
    "conform",
    "declared_type",
    "epoch_microseconds",
]

_MAX_NS_US: Final = (2**63 - 1) // 1000
"""The most microseconds since the Unix epoch that a time in nanoseconds can say."""
_TEXT: Final = (pl.String, pl.Categorical, pl.Enum)


def epoch_microseconds(instants: pl.Series) -> pl.Series:
    """Count microseconds since the Unix epoch.

    Parameters
    ----------
    instants : pl.Series
        Datetime of any unit, shape ``(n,)``. A naive value is UTC; any other zone is
        converted. A part below the microsecond is cut off, towards the past.

    Returns
    -------
    pl.Series
        Int64, shape ``(n,)``; null stays null.
    """
    return instants.dt.timestamp("us")


def align_keys(
    labels: pl.Series, source: pl.DataType, *, key: str, view: str
) -> tuple[pl.Series, pl.DataType]:
    """Bring a label's key column and a source's to one type that loses nothing.

    Integers of any width meet in Int64, text (string, large string, categorical, enum) in
    String. Whole float labels stand for integers, because pandas turns an integer column with
    a missing value into floats. NaN is a missing key.

    Parameters
    ----------
    labels : pl.Series
        The label's key column, shape ``(n_labels,)``.
    source : pl.DataType
        The type of the same key in the view's table.
    key, view : str
        Named in errors.

    Returns
    -------
    labels : pl.Series
        The column in the common type, shape ``(n_labels,)``.
    dtype : pl.DataType
        What the source's column must be cast to.

    Raises
    ------
    OfflineStoreError
        If no common type exists, such as text against integers.
    """
    if labels.dtype == pl.Null:
        labels = labels.cast(source)
    if labels.dtype.is_float():
        labels = labels.fill_nan(None)
    common = _common_key_type(labels.dtype, source)
    if common is None:
        raise OfflineStoreError(
            f"Got labels with {labels.dtype} in join key {key!r}, but expected a type that "
            f"compares with {source}, which view {view!r} has."
        )
    return conform(labels, common, column=key), common


def _common_key_type(label: pl.DataType, source: pl.DataType) -> pl.DataType | None:
    if isinstance(label, _TEXT) and isinstance(source, _TEXT):
        return pl.String()
    if (label.is_integer() or label.is_float()) and source.is_integer():
        return pl.Int64()
    if label.is_numeric() and source.is_float():
        return pl.Float64()
    return label if label == source else None


def declared_type(feast_type: FeastType) -> pa.DataType | None:
    """Return the Arrow type of a Feast type, or None where the source's own type stands.

    Numbers, text, bytes, booleans, timestamps and lists of them have one Arrow type. Maps,
    structs, JSON and the like are returned as the source holds them.
    """
    try:
        arrow: pa.DataType = from_feast_to_pyarrow_type(feast_type)
    except ValueError:
        return None
    inner = arrow.value_type if pa.types.is_list(arrow) else arrow
    return None if pa.types.is_nested(inner) or pa.types.is_null(inner) else arrow


def conform(values: pl.Series, dtype: pl.DataType, *, column: str) -> pl.Series:
    """Cast a column to a declared type, or refuse.

    Rounding to a narrower float is the one loss allowed: it is what Feast's online store does
    with the same declaration. A float column may become integers only where every value is
    whole; NaN then becomes null.

    Parameters
    ----------
    values : pl.Series
        Shape ``(n,)``; null stays null, and an empty column is cast.
    dtype : pl.DataType
        The type to return.
    column : str
        Named in errors.

    Returns
    -------
    pl.Series
        Of type ``dtype``, shape ``(n,)``.

    Raises
    ------
    SourceError
        If a value has no equal in ``dtype``.
    """
    if values.dtype == dtype:
        return values
    if not _convertible(values, dtype):
        raise SourceError(
            f"Got {values.dtype} in column {column!r}, but expected values of {dtype}."
        )
    if values.dtype.is_float() and dtype.is_integer():
        values = values.fill_nan(None)
    if isinstance(dtype, pl.Datetime):
        return _conform_instants(values, dtype, column)
    try:
        return values.cast(dtype, strict=True)
    except InvalidOperationError as error:
        raise SourceError(
            f"Got {values.dtype} in column {column!r} that does not fit, but expected {dtype}."
        ) from error


def _conform_instants(values: pl.Series, dtype: pl.Datetime, column: str) -> pl.Series:
    """Cast instants by the microsecond; a naive one is UTC."""
    values = values.cast(pl.Datetime("us", getattr(values.dtype, "time_zone", None)))
    microseconds = values.cast(pl.Int64)
    if dtype.time_unit == "us":
        return microseconds.cast(dtype)
    if dtype.time_unit == "ms":
        is_lost = (microseconds % 1000 != 0).any()
        ticks = microseconds // 1000
    else:
        is_lost = (microseconds.abs() > _MAX_NS_US).any()
        ticks = microseconds * 1000
    if is_lost:
        raise SourceError(f"Got a time in column {column!r} that {dtype} does not hold.")
    return ticks.cast(dtype)


def _convertible(values: pl.Series, dtype: pl.DataType) -> bool:
    source = values.dtype
    if source == pl.Null:
        return True
    if source.is_float() and dtype.is_integer():
        present = values.fill_nan(None).drop_nulls()
        return bool((present.is_finite() & (present == present.floor())).all())
    if isinstance(source, pl.List | pl.Array) and isinstance(dtype, pl.List):
        return _convertible(values.explode(empty_as_null=False), _inner(dtype))
    return (
        (source.is_numeric() and dtype.is_numeric())
        or (isinstance(source, _TEXT) and isinstance(dtype, pl.String))
        or (isinstance(source, pl.Datetime | pl.Date) and isinstance(dtype, pl.Datetime))
    )


def _inner(dtype: pl.List) -> pl.DataType:
    inner = dtype.inner
    return inner if isinstance(inner, pl.DataType) else inner()
