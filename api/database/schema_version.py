"""Which release of the tables this is; free of SQLAlchemy."""

from __future__ import annotations

from typing import Final

from api.errors import RegistrySchemaError

__all__ = ["SCHEMA_VERSION", "check_schema_version"]

SCHEMA_VERSION: Final = 3
"""The release of the tables."""


def check_schema_version(found: list[int]) -> None:
    """Refuse tables of another release.

    Raises
    ------
    RegistrySchemaError
        Unless `found`, the rows of the table ``schema_version``, is this release's one.
    """
    if found != [SCHEMA_VERSION]:
        raise RegistrySchemaError(
            f"Got a registry with schema version {found}, but expected [{SCHEMA_VERSION}]."
        )
