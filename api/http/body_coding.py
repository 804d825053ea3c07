"""Compressed bodies: gzip and deflate in and out, and never more inflated than a body may have."""

from __future__ import annotations

import gzip
import zlib
from typing import Final

from zeroskew.contract.errors.service import BodyTooLargeError, InvalidTensorsError

__all__ = ["CODINGS", "WORTH_COMPRESSING_BYTES", "compress", "inflate", "is_accepted"]

CODINGS: Final = ("gzip", "deflate")
WORTH_COMPRESSING_BYTES: Final = 1024
"""Above how many bytes a body is compressed: below, it is a packet or less anyway."""

_REFUSED: Final = ("q=0", "q=0.0", "q=0.00", "q=0.000")
_QUICK: Final = 1
_GZIP_BITS: Final = 31
_ZLIB_BITS: Final = 15
_DEFLATED: Final = 8


def inflate(body: bytes, coding: str, max_bytes: int) -> bytes:
    """Return what `body` holds.

    Parameters
    ----------
    body
        The body as it came.
    coding
        One of `CODINGS`. Under the name ``deflate`` go both zlib's format, which the standard
        means, and the bare one.
    max_bytes
        How much it may hold; not one byte more is inflated.

    Raises
    ------
    BodyTooLargeError
        If it holds more.
    InvalidTensorsError
        If it is not so compressed, is cut short, or has something behind it.
    """
    bits = _GZIP_BITS
    if coding == "deflate":
        bits = _ZLIB_BITS if body[:1] and body[0] & 15 == _DEFLATED else -_ZLIB_BITS
    inflating = zlib.decompressobj(bits)
    try:
        content = inflating.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InvalidTensorsError(
            f"Got a body that is not compressed by {coding}, as its content-encoding says."
        ) from error
    if len(content) > max_bytes:
        raise BodyTooLargeError(
            f"Got a compressed body of more than {max_bytes} bytes, but expected at most that."
        )
    if not inflating.eof or inflating.unused_data:
        got = "bytes behind the end" if inflating.eof else "no end"
        raise InvalidTensorsError(f"Got {got} of a body by {coding}, but expected one whole.")
    return content


def compress(body: bytes, accepted: str) -> tuple[bytes, str | None]:
    """Return an answer's body and how it is compressed, if it is asked for and worth it.

    Parameters
    ----------
    body
        The answer.
    accepted
        The request's ``Accept-Encoding``, empty where it has none.
    """
    if not accepted or len(body) <= WORTH_COMPRESSING_BYTES:
        return body, None
    coding = next((one for one in CODINGS if is_accepted(one, accepted)), None)
    if coding is None:
        return body, None
    is_gzip = coding == "gzip"
    return gzip.compress(body, _QUICK, mtime=0) if is_gzip else zlib.compress(body, _QUICK), coding


def is_accepted(coding: str, accepted: str) -> bool:
    """Tell whether an ``Accept-Encoding`` takes a coding by its name.

    >>> is_accepted("gzip", "br, GZIP;q=0.5"), is_accepted("gzip", "gzip; q=0.00")
    (True, False)
    """
    offers = (offer.partition(";") for offer in accepted.replace(" ", "").lower().split(","))
    return any(name == coding and parameter not in _REFUSED for name, _, parameter in offers)
