"""Numbers for entities, the same for labels and for events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from zeroskew.features.windows.event_rows import ENTITY

__all__ = ["number_entities"]

_MOST: Final = 1 << 31
"""Numbers below are small enough to stand beside a time in 64 bits."""


def number_entities(
    labels: pl.DataFrame, events: pl.DataFrame, keys: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add ``entity``, an Int64 number that equal keys share, null where a key is null.

    Events of entities that no label asks for may have one, too, or a null.

    Parameters
    ----------
    labels, events
        Both with the columns ``keys``, of equal types.
    keys
        The join keys.
    """
    if events.height > 4 * labels.height:
        # Most of what there is may be of entities that nobody asks for.
        events = events.join(labels.select(keys).unique(), on=list(keys), how="semi")
    together = pl.concat([labels.select(keys), events.select(keys)])
    numbers = pl.Series(ENTITY, [0], pl.Int64).new_from_index(0, together.height)
    n_entities = 1
    for key in keys:
        codes = _number_values(together[key])
        n_values = int(codes.max() or 0) + 1  # type: ignore[arg-type]  # a number or nothing
        numbers, n_entities = numbers * n_values + codes, n_entities * n_values
        if n_entities >= _MOST:
            numbers = _number_values(numbers.cast(pl.String))
            n_entities = int(numbers.max() or 0) + 1  # type: ignore[arg-type]  # the same
    numbers = numbers.alias(ENTITY)
    return (
        labels.with_columns(numbers.head(labels.height)),
        events.with_columns(numbers.tail(events.height)),
    )


def _number_values(values: pl.Series) -> pl.Series:
    """Return a number for each value, dense but for whole numbers that are near one another."""
    if values.dtype.is_integer():
        least, most = values.min(), values.max()
        if least is None or int(most) - int(least) < _MOST // 2:  # type: ignore[arg-type]  # numbers
            return values.cast(pl.Int64) - int(least or 0)  # type: ignore[arg-type]  # the same
        values = values.cast(pl.String)
    if values.dtype != pl.String:
        return values.rank("dense").cast(pl.Int64) - 1
    return values.cast(pl.Categorical).to_physical().cast(pl.Int64)
