"""Asks DuckDB something of each label."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import polars as pl

__all__ = ["ask_of_labels"]


def ask_of_labels(query: str, labels: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Return the columns that a query answers, in the labels' order and null where it has none.

    Parameters
    ----------
    query
        Reads ``numbered`` with the keys, ``event_timestamp`` and the number ``label``, and answers
        ``label`` beside the columns.
    labels
        The keys and ``event_timestamp``, shape ``(n_labels, n_columns)``.
    keys
        The join keys.
    """
    numbered = labels.select(*keys, "event_timestamp").with_row_index("label")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET threads = 2")
        connection.register("numbered", numbered.to_arrow())
        answers = pl.DataFrame(connection.sql(query).to_arrow_table())
    return (
        numbered.select("label")
        .join(answers, on="label", how="left", maintain_order="left")
        .drop("label")
    )
