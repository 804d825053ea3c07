"""The windows of the worked example, asked at any moments without a project around them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from feast import FeatureView

from zeroskew.features.offline_store.historical_view import plan_view
from zeroskew.features.windows.windowed_table import WindowedTable

__all__ = ["ask_windows"]

_MANY = 10_000_000


def ask_windows(
    lake: Path, view: FeatureView, rows: pl.DataFrame, *, cutoff: bool = False
) -> pl.DataFrame:
    """Return all features of a view at some moments.

    Parameters
    ----------
    lake
        Where the table of events is, ``<home>/var/lake``.
    view
        A windowed view of the example.
    rows
        Its join keys, all text, and ``event_timestamp``.
    cutoff
        Whether an event counts from when it was created, or from when it happened.

    Returns
    -------
    polars.DataFrame
        One column a feature, in the order of `rows`.
    """
    repo = lake.parents[1] / "feature_repo"
    repo.mkdir(exist_ok=True)  # The path of the table begins there.
    names = [f"{view.name}:{feature.name}" for feature in view.features]
    table = plan_view(view, names, full_feature_names=False, repo_path=repo)
    assert isinstance(table, WindowedTable)
    labels = pl.DataFrame(
        {name: rows[key.source] for name, key in zip(table.key_names, table.keys, strict=True)}
    ).with_columns(time=rows["event_timestamp"].dt.epoch("us"))
    # The join is given labels in order of time.
    labels = labels.with_row_index("row").sort("time")
    types = [pl.String()] * len(table.keys)
    found = table.join(
        labels.drop("row"), types, cutoff=cutoff, with_times=False, max_rows=_MANY
    ).with_columns(labels["row"])
    return found.sort("row").drop("row").rename(lambda name: name.removeprefix("feature:"))
