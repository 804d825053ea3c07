"""Which errors of a database are its user's to mend, and not a fault of ours."""

from __future__ import annotations

import sqlite3
import sys

from zeroskew.contract.errors.sentences import first_line

__all__ = ["describe_database_error"]


def describe_database_error(error: BaseException) -> str | None:
    """Say of a database that cannot be reached, or is none, what is the matter with it.

    A statement that a database refuses, or a constraint that is broken, is a fault of ours:
    ``None``, as for all other errors.

    >>> describe_database_error(ValueError("x")) is None
    True
    """
    if (cause := _find_cause(error)) is None:
        return None
    said = first_line(cause)
    return (
        f"Got no answer from the database ({said}), but expected ZEROSKEW_DATABASE_URL to name one "
        "that can be reached and written"
    )


def _find_cause(error: BaseException) -> BaseException | None:
    if isinstance(error, sqlite3.Error):
        away: tuple[type[BaseException], ...] = (sqlite3.OperationalError, sqlite3.InterfaceError)
        is_told = isinstance(error, away) or type(error) is sqlite3.DatabaseError
        return error if is_told else None
    if "sqlalchemy" not in sys.modules:  # Who raised it has imported it.
        return None
    from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError

    away = (OperationalError, InterfaceError)
    # Of those that derive from it, only its own: SQLite says so of a file that is no database.
    if not isinstance(error, away) and type(error) is not DatabaseError:
        return None
    return getattr(error, "orig", None) or error
