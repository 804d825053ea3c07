"""What a project's model must be given, worked out row by row in exact arithmetic.

Nothing here calls the code under test, Feast, or a join: plain Python looks through every row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tests.support.random_projects import TTL, RandomProject, View

__all__ = ["ExactOracle", "round_to_float32"]


class ExactOracle:
    """Looks values up as of a moment, and codes them as the model has them.

    Parameters
    ----------
    project
        Its tables.
    """

    def __init__(self, project: RandomProject) -> None:
        self._project = project
        self._rows = {
            view.name: view.table.with_columns(
                pl.col("event_timestamp", "created").map_batches(_as_utc)
            ).to_dicts()
            for view in project.views
        }

    def look_up(self, request: Mapping[str, Any], moment: datetime) -> dict[tuple[str, str], Any]:
        """Return for each view and feature the value that was known and alive at `moment`."""
        return {
            (view.name, name): None if row is None else row[name]
            for view in self._project.views
            for row in [self._find_row(view, request, moment)]
            for name in view.features
        }

    def _find_row(
        self, view: View, request: Mapping[str, Any], moment: datetime
    ) -> dict[str, Any] | None:
        wanted = [request[key] for key in view.keys]
        if None in wanted:
            return None
        known = [
            row
            for row in self._rows[view.name]
            if [row[key] for key in view.keys] == wanted
            and moment - TTL <= row["event_timestamp"] <= moment
            and row["created"] <= moment
        ]
        return max(known, key=lambda row: (row["event_timestamp"], row["created"]), default=None)

    def matrix(
        self,
        plan: Sequence[Mapping[str, Any]],
        requests: Sequence[Mapping[str, Any]],
        moments: Sequence[datetime],
    ) -> npt.NDArray[np.float32]:
        """Return the model's columns, float32 ``(n_rows, n_columns)``, NaN for null.

        Parameters
        ----------
        plan
            The columns of the feature plan, with their categories.
        requests, moments
            For each row its request fields, and the moment of its prediction.
        """
        rows = []
        for request, moment in zip(requests, moments, strict=True):
            stored = self.look_up(request, moment)
            values = [
                stored[column["view"], column["feature"]]
                if column["field"] is None
                else request[column["field"]]
                for column in plan
            ]
            rows.append([_code(value, one) for value, one in zip(values, plan, strict=True)])
        return np.array(rows, np.float32).reshape(len(rows), len(plan))


def round_to_float32(value: float) -> np.float32:
    """Round a number once, to the nearest float32, ties to even.

    >>> float(round_to_float32(2**53 + 2**29 + 1)) == 2.0**53 + 2.0**30
    True
    """
    if isinstance(value, float):
        with np.errstate(over="ignore"):
            return np.float32(value)
    if value == 0:
        return np.float32(0)
    # The whole number over the gap between float32s of its size, as a fraction of integers.
    gap = 2 ** max(0, abs(value).bit_length() - 24)
    whole, rest = divmod(abs(value), gap)
    if 2 * rest > gap or (2 * rest == gap and whole % 2 == 1):
        whole += 1
    return np.float32(math.copysign(float(whole * gap), value))


def _code(value: Any, column: Mapping[str, Any]) -> np.float32:
    categories = column["categories"]
    if value is None:
        return np.float32(np.nan)
    if categories is not None:
        return np.float32(categories.index(value) if value in categories else np.nan)
    return round_to_float32(int(value) if isinstance(value, bool) else value)


def _as_utc(times: pl.Series) -> pl.Series:
    """Return times in UTC; those without a zone are."""
    if times.dtype.time_zone is None:  # type: ignore[attr-defined]  # they are Datetime
        return times.dt.replace_time_zone("UTC")
    return times.dt.convert_time_zone(str(UTC))
