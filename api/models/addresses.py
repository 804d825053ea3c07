"""The parts of an address: models, versions and aliases by name."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Depends, Path
from starlette.convertors import StringConvertor, register_url_convertor

from zeroskew.contract.errors.not_found import (
    UnknownAliasError,
    UnknownModelError,
    UnknownVersionError,
)
from zeroskew.contract.manifest import NAME_PATTERN

__all__ = [
    "Alias",
    "AliasName",
    "Model",
    "ModelName",
    "Version",
    "VersionNumber",
    "check_alias",
    "check_model",
    "parse_version",
]

_NAME: Final = re.compile(NAME_PATTERN)
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")
# Described and not validated: a name that nothing can have is not found, as one that nothing has.
_NAME_SCHEMA: Final = {"pattern": f"^{NAME_PATTERN}$"}
_VERSION_SCHEMA: Final = {"pattern": f"^{_VERSION.pattern}$"}


class _NameConvertor(StringConvertor):
    """One path segment without a colon, so that ``:predict`` is never part of a name."""

    regex = "[^/:]+"


register_url_convertor("name", _NameConvertor())

ModelName = Annotated[str, Path(description="The model's name.", json_schema_extra=_NAME_SCHEMA)]
AliasName = Annotated[
    str,
    Path(description="An alias of the model, such as `champion`.", json_schema_extra=_NAME_SCHEMA),
]
VersionNumber = Annotated[
    str, Path(description="A version of the model: 1, 2, …", json_schema_extra=_VERSION_SCHEMA)
]


def check_model(model: str) -> str:
    """Return `model`, or raise `UnknownModelError` where no model can have that name."""
    if _NAME.fullmatch(model) is None:
        raise UnknownModelError("Got a name that no model has, but expected a registered model.")
    return model


def check_alias(alias: str) -> str:
    """Return `alias`, or raise `UnknownAliasError` where no alias can have that name."""
    if _NAME.fullmatch(alias) is None:
        raise UnknownAliasError("Got a name that no alias has, but expected one of the model's.")
    return alias


def parse_version(text: str) -> int:
    """Return a version's number, or raise `UnknownVersionError` where `text` is none."""
    if _VERSION.fullmatch(text) is None:
        raise UnknownVersionError("Got a version that is not a whole number from 1 on.")
    return int(text)


# Coroutines although they await nothing: FastAPI hands plain functions to a thread.
async def _read_model(model: ModelName) -> str:
    return check_model(model)


async def _read_alias(alias: AliasName) -> str:
    return check_alias(alias)


async def _read_version(version: VersionNumber) -> int:
    return parse_version(version)


Model = Annotated[str, Depends(_read_model)]
"""A model's name in an address, of those that a model can have."""

Alias = Annotated[str, Depends(_read_alias)]
"""An alias in an address, of those that a model can have."""

Version = Annotated[int, Depends(_read_version)]
"""A version's number in an address."""
