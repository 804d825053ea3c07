"""Keeps the prediction log in shape: partitions in PostgreSQL, and an end by age everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine, text

from zeroskew.records.database.open_database import writing

__all__ = ["UpkeepReport", "keep_log_in_shape"]

_MONTHS_AHEAD: Final = 2
_BATCH: Final = 5_000


@dataclass
class UpkeepReport:
    """Rows that were deleted, and partitions that were made and dropped."""

    n_deleted: int = 0
    made: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def keep_log_in_shape(engine: Engine, now: datetime, keep: timedelta | None) -> UpkeepReport:
    """Make the partitions that are needed, and delete predictions older than `keep`.

    In PostgreSQL each month of predictions has a partition. Rows that came before theirs was made
    stand in the default one, and are moved. A month that has ended altogether is dropped as a
    whole. In SQLite rows are deleted some thousands at a time, so that the service waits for none
    of it. Run it as a job; it may be stopped at any moment, and begun again.

    Parameters
    ----------
    keep
        How long predictions are kept, by the time that they were made for; ``None`` is for ever.
    """
    report = UpkeepReport()
    is_postgres = engine.dialect.name == "postgresql"
    if is_postgres:
        _make_partitions(engine, now, report)
    if keep is not None:
        if is_postgres:
            _drop_partitions(engine, now - keep, report)
        report.n_deleted = _delete_older(engine, now - keep)
    return report


def _delete_older(engine: Engine, before: datetime) -> int:
    # Rows have no number of their own in PostgreSQL; SQLite's rowid is what ctid is there.
    place = "ctid" if engine.dialect.name == "postgresql" else "rowid"
    table = "prediction_default" if engine.dialect.name == "postgresql" else "prediction"
    # A partition of which a part is older is deleted from as well.
    tables = [table, *(_list_partitions(engine) if place == "ctid" else [])]
    moment = before.astimezone(UTC)
    given = moment if place == "ctid" else moment.strftime("%Y-%m-%d %H:%M:%S.%f")
    n_deleted = 0
    for name in tables:
        delete = text(
            f"DELETE FROM {name} WHERE {place} IN "  # noqa: S608 - names of this module's making
            f"(SELECT {place} FROM {name} WHERE time < :before LIMIT {_BATCH})"
        )
        while True:
            with writing(engine).begin() as connection:
                count = connection.execute(delete, {"before": given}).rowcount
            n_deleted += count
            if count < _BATCH:
                break
    return n_deleted


def _make_partitions(engine: Engine, now: datetime, report: UpkeepReport) -> None:
    standing = set(_list_partitions(engine))
    with engine.connect() as connection:
        waiting = connection.scalars(
            text("SELECT DISTINCT date_trunc('month', time, 'UTC') FROM prediction_default")
        ).all()
    months = {_month(month) for month in waiting}
    month = _month(now)
    for _ in range(_MONTHS_AHEAD + 1):
        months.add(month)
        month = _next(month)
    for start in sorted(months):
        name = f"prediction_{start:%Y_%m}"
        if name not in standing:
            with engine.begin() as connection:
                _make_partition(connection, name, start)
            report.made.append(name)


def _make_partition(connection: Connection, name: str, start: datetime) -> None:
    # Nobody writes meanwhile: the service's log waits, or goes to its spool.
    connection.execute(text("LOCK TABLE prediction IN SHARE ROW EXCLUSIVE MODE"))
    connection.execute(text(f"CREATE TABLE {name} (LIKE prediction INCLUDING ALL)"))
    bounds = {"start": start, "end": _next(start)}
    connection.execute(
        text(
            "WITH moved AS (DELETE FROM prediction_default WHERE time >= :start AND time < :end "  # noqa: S608 - as above
            f"RETURNING *) INSERT INTO {name} SELECT * FROM moved"
        ),
        bounds,
    )
    connection.execute(
        text(
            f"ALTER TABLE prediction ATTACH PARTITION {name} FOR VALUES "
            f"FROM ('{bounds['start'].isoformat()}') TO ('{bounds['end'].isoformat()}')"
        )
    )


def _drop_partitions(engine: Engine, before: datetime, report: UpkeepReport) -> None:
    for name in _list_partitions(engine):
        end = _next(datetime.strptime(name, "prediction_%Y_%m").replace(tzinfo=UTC))
        if end <= before:
            with engine.begin() as connection:
                connection.execute(text(f"DROP TABLE {name}"))
            report.dropped.append(name)


def _list_partitions(engine: Engine) -> list[str]:
    """Return the partitions of months, the earliest first."""
    query = text(
        "SELECT inhrelid::regclass::text FROM pg_inherits "
        "WHERE inhparent = 'prediction'::regclass ORDER BY 1"
    )
    with engine.connect() as connection:
        names: Iterator[str] = connection.scalars(query)
        return [name for name in names if name != "prediction_default"]


def _month(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next(month: datetime) -> datetime:
    return (month + timedelta(days=31)).replace(day=1)
