"""An independent computation of windows in SQL: each label with all events of its entity."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import polars as pl

from tests.support.duckdb_labels import ask_of_labels
from zeroskew.contract.window_plan import WindowFeature, WindowPlan

__all__ = ["reference_windows"]


def reference_windows(
    labels: pl.DataFrame,
    folder: Path,
    keys: Sequence[str],
    windows: WindowPlan,
    ttl: timedelta | None,
) -> pl.DataFrame:
    """Compute the features of a view in DuckDB, created cutoff on.

    Parameters
    ----------
    labels
        The keys and ``event_timestamp``, shape ``(n_labels, n_columns)``. Every label meets every
        earlier event of its entity, so there are to be hundreds of them.
    folder
        The table of events, with any depth of hive partitions.
    keys, windows, ttl
        Those of the view: without conditions, ids and hop.

    Returns
    -------
    pl.DataFrame
        The features in the labels' order.
    """
    assert windows.hop_us is None
    assert windows.event_id is None
    same = " AND ".join(f"l.{key} = e.{key}" for key in keys)
    columns = [
        f"CASE WHEN {_alive(ttl)} THEN {_sql(one, windows)} END AS {one.name}"
        for one in windows.features
    ]
    query = f"""
        SELECT label, {", ".join(columns)}
        FROM numbered l JOIN read_parquet('{folder}/**/*.parquet', hive_partitioning = false) e
        ON {same} AND e.event_timestamp <= l.event_timestamp AND e.created <= l.event_timestamp
        GROUP BY label
    """
    return ask_of_labels(query, labels, keys)


def _alive(ttl: timedelta | None) -> str:
    if not ttl:
        return "TRUE"
    microseconds = ttl // timedelta(microseconds=1)
    return (
        f"max(e.event_timestamp) >= any_value(l.event_timestamp) - to_microseconds({microseconds})"
    )


def _sql(one: WindowFeature, windows: WindowPlan) -> str:
    given = windows.inputs[one.input]
    assert not given.where
    column = f"e.{given.column}"
    inside = f"{column} IS NOT NULL"
    if one.window_us is not None:
        inside += f" AND e.event_timestamp > l.event_timestamp - to_microseconds({one.window_us})"
    functions = {
        "count": f"count({column})",
        "sum": f"coalesce(sum({column}) FILTER ({inside}), 0)",
        # The sum of whole numbers is exact, and so is its division.
        "mean": f"sum({column}) FILTER ({inside})::DOUBLE / count({column}) FILTER ({inside})",
        "share": f"sum({column}::INT) FILTER ({inside})::DOUBLE "
        f"/ count({column}) FILTER ({inside})",
        "last": f"last({column} ORDER BY e.event_timestamp, e.created, {column}) FILTER ({inside})",
    }
    found = functions[one.function]
    return f"{found} FILTER ({inside})" if one.function == "count" else found
