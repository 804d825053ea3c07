"""Reads JSON that every reader understands alike: no repeated names, NaN or half characters."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic_core import from_json

from zeroskew.contract.errors.fields import describe, malformed_json
from zeroskew.contract.errors.service import MalformedJsonError

__all__ = ["parse_strict_json"]

_MAX_MEMBERS: Final = 1_000


def parse_strict_json(body: bytes) -> Any:
    """Return the value of a JSON text in UTF-8.

    A number beyond float64, such as ``1e999``, is an infinity: whoever takes numbers says
    which. Whole numbers have any size.

    >>> parse_strict_json(b'{"a": [1, 2.5, null]}')
    {'a': [1, 2.5, None]}

    Raises
    ------
    MalformedJsonError
        If it is not JSON; if an object has a name twice or more than 1000 names; if a text has
        half of a surrogate pair; if lists and objects are nested deeper than 200.
    """
    try:
        # This parser bounds the depth and refuses surrogates, but takes the last of two equal
        # names; the other one does not.
        from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise malformed_json(str(error)) from error
    return json.loads(body, object_pairs_hook=_make_object)


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > _MAX_MEMBERS:
        raise MalformedJsonError(
            f"Got an object of {len(pairs)} names, but expected at most {_MAX_MEMBERS}."
        )
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise MalformedJsonError(f"Got the name {describe(repeated)} twice in one object.")
    return made
