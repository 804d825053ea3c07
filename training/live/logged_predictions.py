"""Reads the prediction log: what each version was given and gave, as arrays and a frame."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from sqlalchemy import Row, case, func, select
from sqlmodel import col

from training.live.open_log import LiveLog
from zeroskew.contract.manifest import FieldType, Manifest
from zeroskew.records.prediction_log.log_mask import HASHED
from zeroskew.records.prediction_log.logged_row import list_numbers
from zeroskew.records.prediction_log.tables import LoggedPrediction

__all__ = [
    "LoggedRows",
    "Span",
    "count_by_arm",
    "count_logged",
    "read_logged",
    "where_logged",
    "where_scored",
]

_GROUP: Final = 2_000
_DTYPES: Final[dict[FieldType, Any]] = {
    FieldType.STRING: pl.String,
    FieldType.INTEGER: pl.Int64,
    FieldType.NUMBER: pl.Float64,
    FieldType.BOOLEAN: pl.Boolean,
    FieldType.TIMESTAMP: pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True)
class Span:
    """Which predictions are meant; ``None`` is no bound.

    They are for the times from ``start`` on and before ``end``, were logged from ``logged_from``
    on, and are of one ``version``.
    """

    start: datetime | None = None
    end: datetime | None = None
    logged_from: datetime | None = None
    version: int | None = None


@dataclass(frozen=True, eq=False)
class LoggedRows:
    """Instances that one version scored, ``n_rows`` of them.

    ``ids`` and ``numbers`` name them, ``arms`` and ``times`` tell which arm scored them and for
    what time. ``features`` is float32 ``(n_rows, n_columns)``, ``request`` float64
    ``(n_rows, n_request_inputs)``, ``scores`` float64 ``(n_rows, n_outputs)``, ``statuses`` uint8
    and ``event_us`` int64 ``(n_rows, n_stored_features)`` in the order of the plan's views.
    """

    version: int
    manifest: Manifest
    parts: Sequence[Row[Any]]

    def with_legible_keys(self) -> LoggedRows:
        """Leave out the predictions whose entity keys the model's policy masks in the log."""
        plan, fields = self.manifest.plan, self.manifest.request
        keys = set(plan.list_key_fields())
        places = [place for place, field in enumerate(fields) if field.name in keys]

        def is_legible(part: Row[Any]) -> bool:
            # A policy is a model's: it masks all instances of a request alike.
            first = json.loads(part.request)[0]
            return not any(
                str(first[place]).startswith(HASHED)
                or (first[place] is None and not fields[place].nullable)
                for place in places
            )

        return replace(self, parts=[part for part in self.parts if is_legible(part)])

    @property
    def n_rows(self) -> int:
        """How many instances there are."""
        return len(self.ids)

    @cached_property
    def ids(self) -> list[str]:
        """The id of the answer of each instance."""
        return [part.id for part in self.parts for _ in range(part.n_rows)]

    @cached_property
    def answer_ids(self) -> list[str | None]:
        """For each instance of a shadow the answer that it stood behind."""
        return [part.answer_id for part in self.parts for _ in range(part.n_rows)]

    @cached_property
    def numbers(self) -> list[int]:
        """The number of each instance in its request."""
        return [number for part in self.parts for number in list_numbers(part.n_rows, part.numbers)]

    @cached_property
    def arms(self) -> list[str | None]:
        """The arm that scored each instance."""
        return [part.arm for part in self.parts for _ in range(part.n_rows)]

    @cached_property
    def times(self) -> pl.Series:
        """The time that each instance was predicted for: Datetime in UTC."""
        times = [part.time for part in self.parts for _ in range(part.n_rows)]
        return pl.Series("time", times, pl.Datetime("us", "UTC"))

    @cached_property
    def features(self) -> npt.NDArray[np.float32]:
        """What the graph was given as ``features``."""
        return self._join("features", "<f4")

    @cached_property
    def request(self) -> npt.NDArray[np.float64]:
        """What the graph was given as ``request``."""
        return self._join("request_inputs", "<f8")

    @cached_property
    def scores(self) -> npt.NDArray[np.float64]:
        """What the graph gave."""
        return self._join("output", "<f8")

    @cached_property
    def statuses(self) -> npt.NDArray[np.uint8]:
        """What became of each stored feature."""
        return self._join("statuses", "u1")

    @cached_property
    def event_us(self) -> npt.NDArray[np.int64]:
        """Microseconds since the Unix epoch; the least number where nothing was stored."""
        return self._join("event_times", "<i8")

    @cached_property
    def requests(self) -> pl.DataFrame:
        """The request's fields as they were parsed, a timestamp as a Datetime in UTC."""
        rows = [values for part in self.parts for values in json.loads(part.request)]
        fields = self.manifest.request
        columns = []
        for place, field in enumerate(fields):
            values = [row[place] for row in rows]
            if field.type is FieldType.TIMESTAMP:
                micros = [None if value is None else round(value * 1e6) for value in values]
                column = pl.Series(field.name, micros, pl.Int64).cast(_DTYPES[field.type])
            else:
                column = pl.Series(field.name, values, _DTYPES[field.type])
            columns.append(column)
        return pl.DataFrame(columns)

    def _join(self, column: str, dtype: str) -> npt.NDArray[Any]:
        content = b"".join(getattr(part, column) for part in self.parts)
        return np.frombuffer(content, dtype).reshape(len(self.ids), -1)


def count_logged(log: LiveLog, model: str, span: Span, *, role: str = "answer") -> int:
    """Return how many rows of the log `read_logged` will read with their inputs."""
    wanted = where_scored(model, span, role, with_inputs=True)
    query = select(func.count()).select_from(LoggedPrediction).where(*wanted)
    with log.engine.connect() as connection:
        return int(connection.scalar(query) or 0)


def count_by_arm(
    log: LiveLog, model: str, span: Span, *, role: str
) -> dict[tuple[str | None, int], tuple[int, int]]:
    """Return by arm and version how many instances were asked for, and how many of them failed."""
    table = LoggedPrediction
    n_rows, failed = table.n_rows, col(table.error).is_not(None)
    key = (col(table.arm), col(table.version))
    query = (
        select(*key, func.sum(n_rows), func.sum(case((failed, n_rows), else_=0)))
        .where(*where_logged(model, span, role))
        .group_by(*key)
    )
    with log.engine.connect() as connection:
        return {
            (arm, version): (int(asked), int(lost))
            for arm, version, asked, lost in connection.execute(query)
        }


def read_logged(
    log: LiveLog, model: str, span: Span, *, role: str = "answer", with_inputs: bool = False
) -> Iterator[LoggedRows]:
    """Yield what was logged of a model in the order of time, some rows of one version at a time.

    Predictions that failed are left out: they have neither features nor scores.

    Parameters
    ----------
    role
        ``answer``, or ``shadow``.
    with_inputs
        Whether predictions whose inputs the model's policy keeps out of the log are left out.

    Raises
    ------
    UnknownVersionError
        If the registry does not know a version that the log names.
    """
    table = LoggedPrediction.__table__  # type: ignore[attr-defined]  # SQLModel makes it
    query = select(table).where(*where_scored(model, span, role, with_inputs=with_inputs))
    query = query.order_by(table.c.time, table.c.id, table.c.part)
    manifests: dict[int, Manifest] = {}
    with log.engine.connect().execution_options(yield_per=_GROUP) as connection:
        for some in connection.execute(query).partitions(_GROUP):
            by_version: dict[int, list[Row[Any]]] = defaultdict(list)
            for row in some:
                by_version[row.version].append(row)
            for version, parts in sorted(by_version.items()):
                if version not in manifests:
                    manifests[version] = log.read_manifest(model, version)
                yield LoggedRows(version, manifests[version], parts)


def where_logged(model: str, span: Span, role: str | None = None) -> list[Any]:
    """Return the conditions by which a span of a model's log is selected."""
    found: list[Any] = [LoggedPrediction.model == model]
    if role is not None:
        found.append(LoggedPrediction.role == role)
    if span.start is not None:
        found.append(LoggedPrediction.time >= span.start)
    if span.end is not None:
        found.append(LoggedPrediction.time < span.end)
    if span.logged_from is not None:
        found.append(LoggedPrediction.logged_at >= span.logged_from)
    if span.version is not None:
        found.append(LoggedPrediction.version == span.version)
    return found


def where_scored(model: str, span: Span, role: str, *, with_inputs: bool) -> list[Any]:
    """Return the conditions of a span's predictions that did not fail; see `read_logged`."""
    table = LoggedPrediction
    found = [*where_logged(model, span, role), col(table.error).is_(None)]
    if with_inputs:
        found.append(func.length(table.features) + func.length(table.request_inputs) > 0)
    return found
