"""The pushed rows that wait in the database, and who may take them."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, select, text, update
from sqlmodel import SQLModel

from zeroskew.contract.pushed_rows import PushedRows
from zeroskew.records.database.open_database import writing
from zeroskew.records.pushes.tables import StoredPush

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["Group", "alone", "find_pushed", "forget_pushed", "read_group", "release", "take_groups"]

_PUSHES: Final = SQLModel.metadata.tables[str(StoredPush.__tablename__)]
_LENGTH: Final = func.length(_PUSHES.c.rows).label("length")
_GROUP_BYTES: Final = 64 << 20
_ADVISORY_LOCK: Final = 0x7E05_4E78
"""The number by which PostgreSQL knows that pushed rows are being moved or erased."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """Pushes for one table that go into part files of one name, in the order in which they came.

    ``identities`` are what they are told apart by, by their numbers.
    """

    source: str
    part: str
    pushes: Mapping[int, PushedRows]
    identities: Mapping[int, str]


@contextmanager
def alone(engine: Engine) -> Iterator[None]:
    """Keep others from moving and from erasing pushed rows meanwhile; wait for those that do.

    A process that is killed lets go.
    """
    if engine.dialect.name == "sqlite":
        with open(f"{engine.url.database}.pushes.lock", "w") as lock:  # noqa: PTH123 - not a path of ours
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    with engine.connect() as connection:
        connection.execute(text(f"SELECT pg_advisory_lock({_ADVISORY_LOCK})"))
        connection.commit()
        try:
            yield
        finally:
            connection.execute(text(f"SELECT pg_advisory_unlock({_ADVISORY_LOCK})"))


def take_groups(engine: Engine, project: str) -> list[tuple[str, str]]:
    """Give the pushes of a project that have none the name of a part file.

    The name is on disk before there is such a file: whoever is interrupted writes the same rows
    into the same files the next time.

    Returns
    -------
    list of (source, part)
        All groups that are to be collected, those of an interrupted run among them.
    """
    mine = _PUSHES.c.project == project
    with engine.connect() as connection:
        if connection.execute(select(_PUSHES.c.number).where(mine).limit(1)).first() is None:
            return []
    with writing(engine).begin() as connection:
        new = select(_PUSHES.c.source, _PUSHES.c.number, _PUSHES.c.sha256, _LENGTH).where(
            mine, _PUSHES.c.part.is_(None)
        )
        for source, rows in _split(connection.execute(new.order_by(_PUSHES.c.number))):
            numbers = [row.number for row in rows]
            said = "".join(f"{row.number}:{row.sha256}" for row in rows)
            part = f"push-{numbers[0]}-{hashlib.sha256(said.encode()).hexdigest()[:24]}"
            chosen = (mine, _PUSHES.c.source == source, _PUSHES.c.part.is_(None))
            span = _PUSHES.c.number.between(numbers[0], numbers[-1])
            connection.execute(update(_PUSHES).where(*chosen, span).values(part=part))
        taken = select(_PUSHES.c.source, _PUSHES.c.part).where(mine, _PUSHES.c.part.is_not(None))
        groups = connection.execute(taken.order_by(_PUSHES.c.number))
        return list(dict.fromkeys((row.source, row.part) for row in groups))


def read_group(engine: Engine, source: str, part: str) -> Group:
    """Read the rows of a group."""
    columns = (_PUSHES.c.number, _PUSHES.c.rows, _PUSHES.c.sha256)
    query = select(*columns).where(*_of(source, part)).order_by(_PUSHES.c.number)
    with engine.connect() as connection:
        found = connection.execute(query).all()
    pushes = {row.number: PushedRows.from_json(row.rows) for row in found}
    return Group(source, part, pushes, {row.number: row.sha256 for row in found})


def release(engine: Engine, group: Group, refused: Sequence[int]) -> None:
    """Delete a group's pushes, which are in the lake now, but for those that were refused."""
    with writing(engine).begin() as connection:
        _overwrite_what_goes(connection)
        mine = _of(group.source, group.part)
        kept = _PUSHES.c.number.in_(refused)
        connection.execute(update(_PUSHES).where(*mine, kept).values(part=None))
        connection.execute(delete(_PUSHES).where(*mine))


def find_pushed(engine: Engine, matches: Callable[[Record], bool]) -> list[dict[str, Any]]:
    """Return the waiting rows that `matches` holds of, by the names of their columns."""
    with engine.connect() as connection:
        return [
            {"source": row.source, **record}
            for row in connection.execute(select(_PUSHES).order_by(_PUSHES.c.number))
            for record in _records(PushedRows.from_json(row.rows))
            if matches(record)
        ]


def forget_pushed(engine: Engine, matches: Callable[[Record], bool]) -> int:
    """Erase the waiting rows that `matches` holds of; return how many.

    Rows that are being collected are in the lake when this begins: erase here before there.
    """
    n_erased = 0
    with alone(engine), writing(engine).begin() as connection:
        _overwrite_what_goes(connection)
        numbers = connection.scalars(select(_PUSHES.c.number)).all()
        for number in numbers:
            one = _PUSHES.c.number == number
            rows = PushedRows.from_json(
                connection.execute(select(_PUSHES.c.rows).where(one)).scalar_one()
            )
            gone = {place for place, record in enumerate(_records(rows)) if matches(record)}
            if not gone:
                continue
            n_erased += len(gone)
            kept = rows.without(gone)
            if kept.event_us:
                changed = {"rows": kept.to_json(), "sha256": kept.sha256}
                connection.execute(update(_PUSHES).where(one).values(changed))
            else:
                connection.execute(delete(_PUSHES).where(one))
    return n_erased


def _records(rows: PushedRows) -> Iterator[dict[str, Any]]:
    for place in range(len(rows.event_us)):
        yield {name: column.values[place] for name, column in rows.columns.items()}


def _of(source: str, part: str) -> tuple[Any, ...]:
    return _PUSHES.c.source == source, _PUSHES.c.part == part


def _split(rows: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield each source with as many of its pushes as memory should hold at once."""
    waiting: dict[str, list[Any]] = {}
    sizes: dict[str, int] = {}
    for row in rows:
        waiting.setdefault(row.source, []).append(row)
        sizes[row.source] = sizes.get(row.source, 0) + row.length
        if sizes[row.source] > _GROUP_BYTES:
            yield row.source, waiting.pop(row.source)
            del sizes[row.source]
    yield from waiting.items()


def _overwrite_what_goes(connection: Any) -> None:
    """Let SQLite write zeros over what is deleted; by itself it only forgets where it is."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")
