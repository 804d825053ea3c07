"""An independent point-in-time join in SQL, to compare the store with row by row.

Rows and labels are put on one line of time, rows at the instant they became known, and each
label takes the most recent of all rows before it: a running maximum over a window, which knows
neither as-of joins nor shadowed rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl

from tests.support.duckdb_labels import ask_of_labels

__all__ = ["ReferenceView", "count_differences", "reference_features"]


@dataclass(frozen=True)
class ReferenceView:
    """A view's table in the lake: ``folder`` holds any depth of hive partitions."""

    name: str
    folder: Path
    keys: tuple[str, ...]
    features: tuple[str, ...]
    ttl: timedelta | None = None


def reference_features(
    labels: pl.DataFrame, view: ReferenceView, *, created_cutoff: bool = True
) -> pl.DataFrame:
    """Join one view in DuckDB.

    Parameters
    ----------
    labels : pl.DataFrame
        The view's keys and ``event_timestamp``, shape ``(n_labels, n_columns)``.
    view : ReferenceView
        Its table has ``event_timestamp`` and ``created`` and no two rows of equal key, event
        and created time.
    created_cutoff : bool
        Whether rows created after the label are left out.

    Returns
    -------
    pl.DataFrame
        The features in the labels' order, shape ``(n_labels, n_features)``.
    """
    keys = ", ".join([*view.keys, "TRUE"])
    present = " AND ".join([*(f"{key} IS NOT NULL" for key in view.keys), "TRUE"])
    known = "greatest(event_timestamp, created)" if created_cutoff else "event_timestamp"
    alive = "TRUE"
    if view.ttl is not None:
        ttl_us = view.ttl // timedelta(microseconds=1)
        alive = f"r.event_timestamp >= c.instant - to_microseconds({ttl_us})"
    query = f"""
        WITH r AS MATERIALIZED (
            SELECT *, row_number() OVER (ORDER BY event_timestamp, created) AS recency
            FROM read_parquet('{view.folder}/**/*.parquet', hive_partitioning = false)
        ),
        history AS (
            SELECT {keys}, {known} AS instant, NULL AS label, recency FROM r WHERE {present}
            UNION ALL
            SELECT {keys}, event_timestamp, label, NULL FROM numbered WHERE {present}
        ),
        chosen AS (
            SELECT label, instant, max(recency) OVER (
                PARTITION BY {keys} ORDER BY instant, label NULLS FIRST
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) AS recency
            FROM history
        )
        SELECT c.label, {", ".join(view.features)}
        FROM chosen c JOIN r USING (recency)
        WHERE c.label IS NOT NULL AND {alive}
    """
    return ask_of_labels(query, labels, view.keys).select(view.features)


def count_differences(
    got: pl.DataFrame, expected: pl.DataFrame, features: Sequence[str]
) -> dict[str, int]:
    """Count the rows in which a feature differs; null equals null, NaN equals NaN.

    Parameters
    ----------
    got, expected : pl.DataFrame
        Of equal length and in equal order.
    features : sequence of str
        The columns to compare; ``expected`` is brought to the types of ``got``.

    Returns
    -------
    dict of str to int
        For each feature.
    """
    assert got.height == expected.height
    return {
        name: int(got[name].ne_missing(expected[name].cast(got[name].dtype)).sum())
        for name in features
    }
