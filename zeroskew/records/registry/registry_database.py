"""The registry's database through SQLAlchemy: consistent reads, and changes that queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, select

from zeroskew.records.database.open_database import writing
from zeroskew.records.registry.tables import RegistryGeneration

__all__ = ["DATABASE_FAILURES", "RegistryDatabase"]

DATABASE_FAILURES = (SQLAlchemyError,)
"""What a session raises when the database fails."""


class RegistryDatabase:
    """Sessions for whoever keeps something in the registry's database.

    Parameters
    ----------
    engine
        From `zeroskew.records.database.open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = writing(engine)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def read(self) -> Session:
        """Return a session that reads."""
        return Session(self._engine)

    def read_at_once(self) -> Session:
        """Return a session whose reads are all of one moment."""
        engine = self._engine
        if engine.dialect.name != "sqlite":  # SQLite's transactions are snapshots anyway.
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        return Session(engine)

    def write(self) -> Session:
        """Return a session that writes what changes nothing for the services that follow."""
        return Session(self._writing)

    @contextmanager
    def change(self) -> Iterator[tuple[Session, int]]:
        """Begin a change: a session in which no other change can come between, and its number."""
        raised = (
            update(RegistryGeneration)
            .values(value=RegistryGeneration.value + 1)
            .returning(col(RegistryGeneration.value))
        )
        # What is told of a change is what it wrote, not what the next one has written since.
        with Session(self._writing, expire_on_commit=False) as session:
            yield session, session.execute(raised).scalar_one()

    def read_generation(self) -> int:
        """Return a number that every change raises."""
        with self.read() as session:
            return session.exec(select(RegistryGeneration.value)).one()
