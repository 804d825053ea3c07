"""Which step of the migrations the tables must stand at; free of SQLAlchemy."""

from __future__ import annotations

from typing import Final

from zeroskew.contract.errors.service import RegistrySchemaError

__all__ = ["HEAD_REVISION", "check_revision", "describe_revision"]

HEAD_REVISION: Final = "0006_service_places"
"""The last step in `zeroskew.records.database.migrations`."""


def check_revision(found: list[str]) -> None:
    """Refuse tables that stand at another step.

    Raises
    ------
    RegistrySchemaError
        Unless `found`, the rows of Alembic's table ``alembic_version``, is this release's one.
    """
    if found != [HEAD_REVISION]:
        raise RegistrySchemaError(
            f"Got a database whose tables are at step {found}, but expected [{HEAD_REVISION!r}]; "
            "`zeroskew migrate` brings older ones there, a newer release made newer ones."
        )


def describe_revision(found: list[str], tables: list[str]) -> str | None:
    """Say why tables cannot be brought to this release; ``None`` where they can, or are.

    >>> describe_revision(["0001_registry"], ["alembic_version"])
    >>> describe_revision(["0999_later"], ["alembic_version"])  # doctest: +ELLIPSIS
    "Got tables at step '0999_later', but expected at most '...'; a newer release made them"
    """
    if not tables or found == [HEAD_REVISION]:
        return None
    if not found:
        return (
            f"Got a database with tables of something else ({', '.join(sorted(tables)[:3])}), "
            "but expected an empty one or Zeroskew's"
        )
    if len(found) == 1 and found[0][:4].isdigit() and found[0][:4] < HEAD_REVISION[:4]:
        return None
    return (
        f"Got tables at step {found[0]!r}, but expected at most {HEAD_REVISION!r}; a newer "
        "release made them"
    )
