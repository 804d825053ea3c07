"""Split labelled rows by time, with no label from after the split."""

from __future__ import annotations

import polars as pl

from zeroskew.contract.errors.project import DatasetError
from zeroskew.contract.label_columns import EVENT_TIMESTAMP, KNOWN_AT, SPAN
from zeroskew.declarations.model_spec import TimeSplit

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
        inside = pl.col(EVENT_TIMESTAMP).is_between(start, end, closed="left")
        if name != "test":
            inside &= pl.col(KNOWN_AT) < end
        span = pl.when(inside).then(pl.lit(name)).otherwise(span)
    spanned = labels.with_columns(span.alias(SPAN)).filter(pl.col(SPAN).is_not_null())
    for name, bounds in split.spans().items():
        if spanned.filter(pl.col(SPAN) == name).is_empty():
            raise DatasetError(
                f"Got no labelled row in the {name} span from {bounds[0]} to {bounds[1]}, but "
                "expected some"
            )
    return spanned
