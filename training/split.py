"""Split labelled rows by time, with no label from after the split."""

from __future__ import annotations

import polars as pl

from training.errors import DatasetError
from training.model_spec import TimeSplit

__all__ = ["assign_spans"]


def assign_spans(labels: pl.DataFrame, split: TimeSplit) -> pl.DataFrame:
    """Add ``span`` to ``labels`` and drop the rows that belong to none.

    A row belongs to the span that holds its ``event_timestamp``. In ``train`` and
    ``validation`` its label must also have been known before the span's end: on that day
    nobody could have fitted a later one. The test span keeps all of its labels.

    Raises
    ------
    DatasetError
        If a span is left without a row.
    """
    span = pl.lit(None, pl.String)
    for name, (start, end) in split.spans().items():
        inside = pl.col("event_timestamp").is_between(start, end, closed="left")
        if name != "test":
            inside &= pl.col("label_known_at") < end
        span = pl.when(inside).then(pl.lit(name)).otherwise(span)
    spanned = labels.with_columns(span.alias("span")).filter(pl.col("span").is_not_null())
    for name, bounds in split.spans().items():
        if spanned.filter(pl.col("span") == name).is_empty():
            raise DatasetError(
                f"Got no labelled row in the {name} span from {bounds[0]} to {bounds[1]}"
            )
    return spanned
