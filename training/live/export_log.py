"""Writes the prediction log to the lake: a Parquet file for each model, version, role and day."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq
from sqlalchemy import func, select
from sqlmodel import col

from training.families.progress import Progress
from training.live.logged_predictions import (
    LoggedRows,
    Span,
    read_logged,
    where_logged,
    where_scored,
)
from training.live.open_log import LiveLog
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.records.prediction_log.tables import LoggedPrediction

__all__ = ["ExportReport", "export_log"]

_DAY: Final = timedelta(days=1)


@dataclass
class ExportReport:
    """How many files were written, how many stood as they were, and the rows of the first."""

    n_written: int = 0
    n_standing: int = 0
    n_rows: int = 0


def export_log(
    log: LiveLog, lake: Path, model: str, until: datetime, progress: Progress
) -> ExportReport:
    """Write the days of a model's log that end at `until` or before.

    A file that has all rows of its day and version stands, with those that have left the log
    since; one for which rows came late, out of the spool, is written anew. A file is complete when
    its name appears.

    Parameters
    ----------
    lake
        Files go to ``predictions/<model>/<role>/day=<date>/version-<number>.parquet`` in it: one
        row an instance, with columns ``request.<field>``, ``feature.<column>``, ``input.<name>``,
        ``status.<view:feature>``, ``event_time.<view:feature>`` and ``score``, a list.
    """
    report = ExportReport()
    for role in ("answer", "shadow"):
        days = list(_list_days(log, model, role, until))
        for done, day in enumerate(days):
            progress(done, len(days))
            folder = lake / "predictions" / model / role / f"day={day:%Y-%m-%d}"
            _export_day(log, folder, model, role, day, report)
    return report


def _list_days(log: LiveLog, model: str, role: str, until: datetime) -> Iterator[datetime]:
    bounds = select(
        func.min(col(LoggedPrediction.time)), func.max(col(LoggedPrediction.time))
    ).where(*where_logged(model, Span(), role))
    with log.engine.connect() as connection:
        first, last = connection.execute(bounds).one()
    if first is None:
        return
    day = first.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= last and day + _DAY <= until:
        yield day
        day += _DAY


def _export_day(
    log: LiveLog, folder: Path, model: str, role: str, day: datetime, report: ExportReport
) -> None:
    span = Span(day, day + _DAY)
    counts = _count_versions(log, model, role, span)
    files = {version: folder / f"version-{version}.parquet" for version in counts}
    lacking = {version for version, count in counts.items() if not _has_rows(files[version], count)}
    report.n_standing += len(files) - len(lacking)
    if not lacking:
        return
    frames: dict[int, list[pl.DataFrame]] = {}
    for rows in read_logged(log, model, span, role=role, with_inputs=True):
        if rows.version in lacking:
            frames.setdefault(rows.version, []).append(_to_frame(rows))
    for version, parts in frames.items():
        frame = pl.concat(parts)
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = files[version].with_suffix(f".{os.getpid()}.part")
        frame.write_parquet(unfinished)
        unfinished.replace(files[version])
        report.n_written += 1
        report.n_rows += frame.height


def _count_versions(log: LiveLog, model: str, role: str, span: Span) -> dict[int, int]:
    table = LoggedPrediction
    query = (
        select(col(table.version), func.sum(table.n_rows))
        .where(*where_scored(model, span, role, with_inputs=True))
        .group_by(col(table.version))
    )
    with log.engine.connect() as connection:
        return {int(version): int(count) for version, count in connection.execute(query)}


def _has_rows(file: Path, count: int) -> bool:
    return file.exists() and pq.read_metadata(file).num_rows >= count


def _to_frame(rows: LoggedRows) -> pl.DataFrame:
    plan = rows.manifest.plan
    stored = [f"{view}:{feature}" for view, feature in plan.list_stored_features()]
    events = pl.DataFrame(rows.event_us, [f"event_time.{name}" for name in stored])
    return pl.concat(
        [
            pl.DataFrame(
                {
                    "id": rows.ids,
                    "row": rows.numbers,
                    "time": rows.times,
                    "version": [rows.version] * rows.n_rows,
                    "arm": pl.Series(rows.arms, dtype=pl.String),
                    "answer_id": pl.Series(rows.answer_ids, dtype=pl.String),
                    "score": pl.Series(rows.scores.tolist(), dtype=pl.List(pl.Float64)),
                }
            ),
            rows.requests.rename(lambda name: f"request.{name}"),
            pl.DataFrame(rows.features, [f"feature.{one.name}" for one in plan.columns]),
            pl.DataFrame(rows.request, [f"input.{one.name}" for one in plan.request_inputs]),
            pl.DataFrame(rows.statuses, [f"status.{name}" for name in stored]),
            events.select(
                pl.when(pl.all() != NEVER_US).then(pl.all()).cast(pl.Datetime("us", "UTC"))
            ),
        ],
        how="horizontal",
    )
