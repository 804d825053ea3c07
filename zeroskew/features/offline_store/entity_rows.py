"""The entity frame: the rows that features are joined to, with their instants."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

from zeroskew.contract.label_columns import EVENT_TIMESTAMP
from zeroskew.features.offline_store.column_types import epoch_microseconds
from zeroskew.features.offline_store.errors import EntityRowError, UnsupportedRequestError
from zeroskew.features.offline_store.time_slices import FIRST_INSTANT, LAST_INSTANT

__all__ = ["EntityRows", "read_entity_rows"]


@dataclass(frozen=True, slots=True)
class EntityRows:
    """The entity frame, checked.

    Attributes
    ----------
    table : pa.Table
        As handed in, shape ``(n_labels, n_columns)``; only the timestamp column is in UTC.
    timestamp_column : str
        The caller's name of it.
    instants : pl.Series
        Int64 microseconds since the Unix epoch, shape ``(n_labels,)``, in the labels' order.
    index : pd.Index or None
        The pandas index of the entity frame, None where it had none.
    """

    table: pa.Table
    timestamp_column: str
    instants: pl.Series
    index: pd.Index[Any] | None

    @property
    def bounds(self) -> tuple[datetime | None, datetime | None]:
        """The first and the last instant, in UTC; None without labels."""
        instants = pl.DataFrame({"t": self.instants.cast(pl.Datetime("us", "UTC"))})
        first, last = instants.select(pl.min("t").alias("first"), pl.max("t").alias("last")).row(0)
        return first, last

    def column(self, name: str) -> pl.Series:
        """Return one column, shape ``(n_labels,)``, in the labels' order."""
        values = pl.from_arrow(self.table.column(name).combine_chunks())
        assert isinstance(values, pl.Series)
        return values


def read_entity_rows(entity_df: object) -> EntityRows:
    """Check an entity frame and read its instants.

    Parameters
    ----------
    entity_df : pd.DataFrame, pl.DataFrame or pa.Table
        One row a label. The timestamp is the column ``event_timestamp``, or else the only
        timestamp column; naive values are UTC. Text is read as ISO 8601.

    Returns
    -------
    EntityRows

    Raises
    ------
    UnsupportedRequestError
        If ``entity_df`` is SQL, None or of another type.
    EntityRowError
        If it has no timestamp column, a null timestamp or one beyond the years 1 to 9999, or
        two columns of one name.
    """
    table, index = _to_arrow(entity_df)
    repeated = [name for name, count in Counter(table.column_names).items() if count > 1]
    if repeated:
        raise EntityRowError(f"Got columns {repeated} twice, but expected distinct label columns.")
    name = _timestamp_column(table)
    timestamps = _timestamps(table.column(name), name)
    if timestamps.null_count:
        raise EntityRowError(
            f"Got {timestamps.null_count} null timestamps in label column {name!r}, "
            "but expected an instant in every row."
        )
    in_utc = timestamps.cast(pa.timestamp(timestamps.type.unit, "UTC"))
    table = table.set_column(table.column_names.index(name), name, in_utc)
    values = pl.from_arrow(in_utc.combine_chunks())
    assert isinstance(values, pl.Series)
    instants = epoch_microseconds(values)
    if instants.null_count() or not instants.is_between(FIRST_INSTANT, LAST_INSTANT).all():
        raise EntityRowError(
            f"Got instants beyond the calendar in label column {name!r}, "
            "but expected the years 1 to 9999."
        )
    return EntityRows(table, name, instants, index)


def _to_arrow(entity_df: object) -> tuple[pa.Table, pd.Index[Any] | None]:
    match entity_df:
        case pd.DataFrame():
            return _pandas_to_arrow(entity_df), entity_df.index
        case pl.DataFrame():
            return entity_df.to_arrow(), None
        case pa.Table():
            return entity_df, None
        case str():
            raise UnsupportedRequestError(
                "Got SQL as entity_df, but expected a DataFrame: this store runs no SQL."
            )
        case None:
            raise UnsupportedRequestError(
                "Got no entity_df, but expected a DataFrame of labels: Feast's stores disagree "
                "on what a range of dates without labels means. Read a view's rows with "
                "pull_all_from_table_or_query instead."
            )
    raise UnsupportedRequestError(
        f"Got entity_df of type {type(entity_df).__name__}, but expected a pandas or polars "
        "DataFrame or an Arrow table."
    )


def _pandas_to_arrow(frame: pd.DataFrame) -> pa.Table:
    names = [str(name) for name in frame.columns]
    arrays = []
    for position, name in enumerate(names):
        try:
            arrays.append(pa.chunked_array([pa.Array.from_pandas(frame.iloc[:, position])]))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise EntityRowError(
                f"Got values of several types in label column {name!r}, but expected one type."
            ) from error
    return pa.Table.from_arrays(arrays, names=names)


def _timestamp_column(table: pa.Table) -> str:
    if EVENT_TIMESTAMP in table.column_names:
        return EVENT_TIMESTAMP
    candidates = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    if len(candidates) != 1:
        raise EntityRowError(
            f"Got labels with timestamp columns {candidates}, "
            f"but expected one, or one named {EVENT_TIMESTAMP!r}."
        )
    return str(candidates[0])


def _timestamps(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        return column
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise EntityRowError(
            f"Got {column.type} in label column {name!r}, but expected timestamps, "
            "or text in ISO 8601."
        )
    try:
        parsed = pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601")
    except ValueError as error:
        raise EntityRowError(
            f"Got text in label column {name!r} that is no instant, but expected ISO 8601."
        ) from error
    return pa.chunked_array([pa.Array.from_pandas(parsed)])
