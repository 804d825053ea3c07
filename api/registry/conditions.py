"""Conditions of a change: what moves has an ``ETag`` with its revision.

``If-Match`` with that tag lets a move happen only to what its caller has seen,
``If-None-Match: *`` only where nothing is.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Depends, Header
from pydantic.json_schema import SkipJsonSchema

from zeroskew.contract.errors.service import InvalidRequestError

__all__ = ["SeenRevision", "tag_of"]

_TAG: Final = re.compile(r'"r(\d{1,15})(?:-[0-9a-f]+(?:-gzip)?)?"')
_SHOWN: Final = 64
_Given = str | SkipJsonSchema[None]


def tag_of(revision: int) -> str:
    """Return the ``ETag`` of something at a revision."""
    return f'"r{revision}"'


async def _read_condition(
    if_match: Annotated[
        _Given,
        Header(
            alias="If-Match",
            description="The `ETag` of what is to be changed, as the caller saw it.",
            json_schema_extra={"pattern": '^("r[0-9]{1,15}"|\\*)$'},
        ),
    ] = None,
    if_none_match: Annotated[
        _Given,
        Header(
            alias="If-None-Match",
            description="`*`: only if there is none yet.",
            json_schema_extra={"enum": ["*"]},
        ),
    ] = None,
) -> int | None:
    if if_none_match is not None:
        if if_none_match.strip() != "*" or if_match is not None:
            raise InvalidRequestError(
                f"Got If-None-Match {if_none_match[:_SHOWN]!r}, but expected * and no If-Match."
            )
        return 0
    if if_match is None or if_match.strip() == "*":
        return None
    found = _TAG.fullmatch(if_match.strip())
    if found is None:
        raise InvalidRequestError(
            f"Got If-Match {if_match[:_SHOWN]!r}, but expected one ETag of this address."
        )
    return int(found[1])


SeenRevision = Annotated[int | None, Depends(_read_condition)]
"""The revision that the caller has seen: 0 for nothing, ``None`` for whatever is there."""
