"""What the routes that take rows share: how they read a large body, and how they answer."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

from fastapi import Request
from starlette.responses import Response

from api.feast.pushes.feature_pushes import PushResult
from api.http.application import part_of
from api.http.request_body import JsonBody
from zeroskew.contract.settings import Settings
from zeroskew.model.requests.body_documents import RequestDocument, parse_document

__all__ = ["read_rows_document", "tell_result"]

_INLINE_BYTES: Final = 1 << 16
"""Up to how large a body is parsed in the event loop; others are answered during a longer one."""
_Document = TypeVar("_Document", bound=RequestDocument)


async def read_rows_document(kind: type[_Document], request: Request) -> _Document:
    """Return what a request writes, which may be larger than what others send."""
    max_bytes = part_of(request, Settings).feast_max_write_bytes
    body = await JsonBody(request, max_bytes=max_bytes).read()
    if len(body) <= _INLINE_BYTES:
        return parse_document(kind, body)
    return await asyncio.to_thread(parse_document, kind, body)


def tell_result(result: PushResult) -> Response:
    """Return what became of the rows, without what is not so."""
    content = result.model_dump_json(exclude_defaults=True)
    return Response(content, media_type="application/json")
