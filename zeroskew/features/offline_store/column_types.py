"""One type for values that two tables write differently; never a silent null."""

from __future__ import annotations

from typing import Any, Final

import polars as pl
import polars.selectors as cs
import pyarrow as pa
from feast.types import FeastType, from_feast_to_pyarrow_type

from zeroskew.contract.number_bounds import EXACT_FLOAT
from zeroskew.features.offline_store.errors import OfflineStoreError, SourceError

__all__ = [
    "TEXT",
    "align_keys",
    "as_polars",
    "beyond_exact_float",
    "conform",
    "conform_key",
    "declared_type",
    "describe_misfit",
    "epoch_microseconds",
    "find_misfits",
    "fits_declared",
    "is_whole",
    "numbers_for_feast",
    "outside",
]

_MAX_NS_US: Final = (2**63 - 1) // 1000
"""The most microseconds since the Unix epoch that a time in nanoseconds can say."""
TEXT: Final = (pl.String, pl.Categorical, pl.Enum)


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
    a missing value into floats; beyond 2^53 they are refused, because neighbours are then the
    same float. NaN is a missing key.

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
    SourceError
        If a label has no equal in the common type.
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
    return conform_key(labels, common, column=key), common


def conform_key(values: pl.Series, dtype: pl.DataType, *, column: str) -> pl.Series:
    """Cast a key column as :func:`conform` does, but never by way of a number that may be another.

    Raises
    ------
    SourceError
        If a value has no equal in ``dtype``, or numbers meet a float that is as well its neighbour.
    """
    if values.dtype != dtype or dtype.is_float():
        by_float = values.dtype.is_float() or (dtype.is_float() and is_whole(values.dtype))
        beyond = beyond_exact_float(values) if by_float else values.clear()
        if len(beyond):
            raise SourceError(
                f"Got {beyond[0]} among {values.dtype} in join key {column!r}, but expected whole "
                "numbers up to 2^53 where one side has floats; write 64-bit integers on both"
            )
    return conform(values, dtype, column=column)


def beyond_exact_float(values: pl.Series) -> pl.Series:
    """Return those of a number column that a float64 does not tell from their neighbours."""
    return outside(values, -EXACT_FLOAT, EXACT_FLOAT)


def outside(values: pl.Series, low: int, high: int) -> pl.Series:
    """Return those of a number column below ``low`` or above ``high``; null is none of them.

    >>> outside(pl.Series([-(2**63), 1, None], dtype=pl.Int128), 0, 9).to_list()
    [-9223372036854775808]
    """
    if values.dtype.is_integer():
        # Polars compares with no number that the column's type does not hold.
        low = max(low, values.lower_bound().item())
        high = min(high, values.upper_bound().item())
    return values.filter((values < low) | (values > high))


def is_whole(dtype: pl.DataType) -> bool:
    """Tell whether a type has whole numbers alone: integers of any width, or such decimals."""
    return dtype.is_integer() or (isinstance(dtype, pl.Decimal) and dtype.scale == 0)


def _common_key_type(label: pl.DataType, source: pl.DataType) -> pl.DataType | None:
    if isinstance(label, TEXT) and isinstance(source, TEXT):
        return pl.String()
    if (label.is_integer() or label.is_float()) and source.is_integer():
        return pl.Int64()
    if (label.is_integer() or label.is_float()) and source.is_float():
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


def as_polars(arrow: pa.DataType) -> pl.DataType:
    """Return the polars type of an Arrow type.

    >>> as_polars(pa.timestamp("us", "UTC"))
    Datetime(time_unit='us', time_zone='UTC')
    """
    empty = pl.from_arrow(pa.array([], arrow))
    assert isinstance(empty, pl.Series)
    return empty.dtype


def fits_declared(source: pl.DataType, declared: pl.DataType) -> bool:
    """Whether values of a column's type may become the declared one, whatever they are.

    >>> fits_declared(pl.Float64(), pl.Int64()), fits_declared(pl.String(), pl.Int64())
    (True, False)
    """
    if source in (declared, pl.Null):
        return True
    if isinstance(source, pl.List | pl.Array) and isinstance(declared, pl.List):
        return fits_declared(_inner(source), _inner(declared))
    return (
        (source.is_numeric() and declared.is_numeric())
        or (isinstance(source, TEXT) and isinstance(declared, pl.String))
        or (isinstance(source, pl.Datetime | pl.Date) and isinstance(declared, pl.Datetime))
    )


def find_misfits(rows: pl.LazyFrame, column: str, dtype: pl.DataType) -> pl.LazyFrame | None:
    """Select the numbers of a column that have no equal in a type that it may become.

    Parameters
    ----------
    rows : pl.LazyFrame
        Not read here; lists are looked into.
    column : str
        One of its columns, of a type that `fits_declared` takes.
    dtype : pl.DataType
        The declared type.

    Returns
    -------
    pl.LazyFrame or None
        One column; None where every value of the column's type fits. Null and NaN do.
    """
    values, source = rows.select(column), rows.collect_schema()[column]
    while isinstance(source, pl.List | pl.Array) and isinstance(dtype, pl.List):
        values = values.explode(column, empty_as_null=False)
        source, dtype = _inner(source), _inner(dtype)
    value = pl.col(column)
    if not source.is_numeric() or _holds(dtype, source):
        return None
    if dtype.is_integer():
        present = value.fill_nan(None) if source.is_float() else value
        same = value.cast(dtype, strict=False).cast(source, strict=False)
        return values.filter(present.is_not_null() & present.ne_missing(same))
    if dtype == pl.Float32 and not source.is_float():
        exact = value.cast(pl.String) if source.is_decimal() else value
        return values.filter(exact.cast(dtype) != exact.cast(pl.Float64).cast(dtype))
    return None


def describe_misfit(value: Any, source: pl.DataType, dtype: pl.DataType, *, what: str) -> str:
    """Say of a value among `find_misfits` what was expected; ``what`` names its column."""
    while isinstance(source, pl.List | pl.Array) and isinstance(dtype, pl.List):
        source, dtype = _inner(source), _inner(dtype)
    if dtype == pl.Float32:
        return (
            f"Got {value} in {what}, declared Float32, but expected numbers that are the same "
            f"float32 by way of float64; declare it {'Float64' if source.is_decimal() else 'Int64'}"
        )
    return f"Got {value} among {source} in {what}, but expected whole numbers that {dtype} holds"


def _holds(dtype: pl.DataType, source: pl.DataType) -> bool:
    """Whether whole numbers of one type are all whole numbers of another."""
    if not (dtype.is_integer() and source.is_integer()):
        return False
    low, high = (pl.Series(dtype=source).lower_bound(), pl.Series(dtype=source).upper_bound())
    outer = pl.Series(dtype=dtype)
    return bool(
        outer.lower_bound().item() <= low.item() and high.item() <= outer.upper_bound().item()
    )


def conform(values: pl.Series, dtype: pl.DataType, *, column: str) -> pl.Series:
    """Cast a column to a declared type, or refuse.

    Rounding to a narrower float is the one loss allowed: it is what Feast's online store does
    with the same declaration. Feast rounds to float64 first, so a whole number or a decimal
    that would then be another float32 than its nearest is refused. A float column may become
    integers only where every value is whole; NaN then becomes null.

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
    if not fits_declared(values.dtype, dtype):
        raise SourceError(
            f"Got {values.dtype} in column {column!r}, but expected values of {dtype}."
        )
    misfits = find_misfits(values.to_frame().lazy(), values.name, dtype)
    if misfits is not None and not (found := misfits.head(1).collect()).is_empty():
        what = f"column {column!r}"
        raise SourceError(describe_misfit(found.item(), values.dtype, dtype, what=what))
    if values.dtype.is_float() and dtype.is_integer():
        values = values.fill_nan(None)
    if isinstance(dtype, pl.Datetime):
        return _conform_instants(values, dtype, column)
    if dtype.is_float() and not values.dtype.is_float() and values.dtype != pl.Null:
        # Polars divides a decimal's digits by a power of ten, and rounds each of the three.
        return (values.cast(pl.String) if values.dtype.is_decimal() else values).cast(dtype)
    return values.cast(dtype, strict=True)


def _conform_instants(values: pl.Series, dtype: pl.Datetime, column: str) -> pl.Series:
    """Cast instants by the microsecond; a naive one is UTC."""
    microseconds = _to_microseconds(values, column)
    if dtype.time_unit == "ms":
        is_lost = (microseconds % 1000 != 0).any()
    else:
        is_lost = dtype.time_unit == "ns" and (microseconds.abs() > _MAX_NS_US).any()
    if is_lost:
        expected = "whole milliseconds" if dtype.time_unit == "ms" else "the years 1678 to 2261"
        raise SourceError(
            f"Got a time in column {column!r} that {dtype} does not hold, but expected {expected}."
        )
    instants = microseconds.cast(pl.Datetime("us", dtype.time_zone))
    return instants.dt.cast_time_unit(dtype.time_unit)


def _to_microseconds(values: pl.Series, column: str) -> pl.Series:
    if values.dtype == pl.Date:
        return values.cast(pl.Datetime("us")).to_physical()
    microseconds = epoch_microseconds(values)
    if microseconds.null_count() > values.null_count():
        raise SourceError(
            f"Got times in column {column!r} that no 64 bits count in microseconds, but expected "
            "the years 1 to 9999."
        )
    return microseconds


def numbers_for_feast(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows from which Feast makes the same numbers, in types that it takes.

    Feast 0.67 writes a column to the online store by way of numpy, where integers beside a null
    are float64: beyond 2^53 other numbers. It makes integers of decimals without a loss. Narrow
    numbers it refuses where a double is declared.
    """
    narrow = [pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32]
    wide = [
        name
        for name, dtype in rows.schema.items()
        if dtype in (pl.Int64, pl.UInt64)
        and rows[name].null_count()
        and len(beyond_exact_float(rows[name]))
    ]
    return rows.with_columns(
        cs.by_dtype(narrow).cast(pl.Int64),
        cs.by_dtype(pl.Float32).cast(pl.Float64),
        cs.by_name(wide).cast(pl.Decimal(20, 0)),
    )


def _inner(dtype: pl.List | pl.Array) -> pl.DataType:
    inner = dtype.inner
    return inner if isinstance(inner, pl.DataType) else inner()
