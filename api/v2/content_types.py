"""MLServer's content types: what the elements of a tensor are to be taken for.

The parameter ``content_type`` stands at an input, an output, or the request (MLServer's docs,
"Content Types"). What would be another value than the elements as they stand is decoded here or
refused; nothing is scored as what it is not.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any, Final

from api.v2.documents import Parameters
from api.v2.model_interface import TensorSpec
from api.v2.tensors import BYTES, Elements
from zeroskew.contract.errors.fields import describe
from zeroskew.contract.errors.service import InvalidTensorsError

__all__ = ["check_content_type", "decode_elements"]

_NAME: Final = "content_type"
_BASE64: Final = "base64"
_DATETIME: Final = "datetime"
_AS_THEY_STAND: Final = ("np", "pd", "str")


def check_content_type(parameters: Parameters | None, where: str) -> None:
    """Check that the elements are wanted or given as they stand.

    Raises
    ------
    InvalidTensorsError
        If the content type is another one.
    """
    given = (parameters or {}).get(_NAME)
    if given is not None and given not in _AS_THEY_STAND:
        raise _refused(given, where, " or ".join(_AS_THEY_STAND))


def decode_elements(
    elements: Elements, parameters: Parameters | None, spec: TensorSpec
) -> Elements:
    """Return the elements of an input as its content type means them.

    Raises
    ------
    InvalidTensorsError
        If the content type is unknown or not one for the input, or an element is not of it.
    """
    given = (parameters or {}).get(_NAME)
    if given is None or given in ("np", "pd"):
        return elements
    known = [*_AS_THEY_STAND, _BASE64, _DATETIME] if spec.datatype == BYTES else ["np", "pd"]
    if spec.datatype == BYTES and not spec.is_instant:
        known.remove(_DATETIME)
    if given not in known:
        raise _refused(given, f"input {spec.name}", " or ".join(known))
    if given != _BASE64:
        return elements
    return [
        None if one is None else _decode(one, position, spec.name)
        for position, one in enumerate(elements)
    ]


def _decode(text: Any, position: int, name: str) -> str:
    try:
        return b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidTensorsError(
            f"Got {describe(text)} as element {position} of input {name}, but expected base64 of "
            "text in UTF-8, as its content_type says."
        ) from error


def _refused(given: object, where: str, expected: str) -> InvalidTensorsError:
    return InvalidTensorsError(
        f"Got the {_NAME} {describe(given)} for {where}, but expected {expected}."
    )
