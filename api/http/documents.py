"""Documents over HTTP: a strong validator, conditional GET, and gzip where it pays."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.http.body_coding import WORTH_COMPRESSING_BYTES, is_accepted

__all__ = ["HttpDocument", "answer_document"]

_GZIP_LEVEL: Final = 6


@dataclass(frozen=True, slots=True)
class HttpDocument:
    """The bytes of a document, plain and compressed, and the sha256 of the plain ones.

    ``compressed`` is ``None`` where gzip does not make it smaller by a packet's worth.
    """

    content: bytes
    compressed: bytes | None
    media_type: str
    sha256: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> HttpDocument:
        """Hash and compress `content`; the same bytes always give the same document."""
        compressed = None
        if len(content) > WORTH_COMPRESSING_BYTES:
            compressed = gzip.compress(content, _GZIP_LEVEL, mtime=0)
        return cls(content, compressed, media_type, hashlib.sha256(content).hexdigest())


def answer_document(
    request: Request,
    document: HttpDocument,
    headers: Mapping[str, str] | None = None,
    *,
    tag_prefix: str = "",
) -> Response:
    """Answer a GET with `document`, or with 304 where the client has it already.

    The validator is strong, so the compressed bytes have one of their own (RFC 9110, section
    8.8.3.3). A copy may be kept, but has to be asked about before each use: a publish changes
    the document at any moment.

    Parameters
    ----------
    request
        Its headers ``Accept-Encoding`` and ``If-None-Match`` count.
    headers
        Further headers of the answer.
    tag_prefix
        What the validator begins with, for instance a revision that it carries.
    """
    accepted = ",".join(request.headers.getlist("accept-encoding"))
    compressed = document.compressed if is_accepted("gzip", accepted) else None
    etag = f'"{tag_prefix}{document.sha256}{"-gzip" if compressed is not None else ""}"'
    all_headers = {
        "ETag": etag,
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
        **(headers or {}),
    }
    if _has_already(request, etag):
        return Response(status_code=304, headers=all_headers)
    if compressed is not None:
        all_headers["Content-Encoding"] = "gzip"
    return Response(
        document.content if compressed is None else compressed,
        media_type=document.media_type,
        headers=all_headers,
    )


def _has_already(request: Request, etag: str) -> bool:
    """Compare weakly, as If-None-Match asks for (RFC 9110, section 13.1.2)."""
    known = ",".join(request.headers.getlist("if-none-match")).split(",")
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in known)
