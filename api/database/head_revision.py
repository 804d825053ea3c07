"""Which step of the migrations the tables must stand at; free of SQLAlchemy."""

from __future__ import annotations

from typing import Final

from api.errors import RegistrySchemaError

__all__ = ["HEAD_REVISION", "check_revision"]

HEAD_REVISION: Final = "0005_service_places"
"""The last step in `api.database.migrations`."""


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
