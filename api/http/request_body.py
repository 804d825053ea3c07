"""Reads a request's body within the service's limits."""

from __future__ import annotations

import asyncio
from email.message import Message
from typing import Any, Final, Generic, TypeVar

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from api.http.body_coding import CODINGS, inflate
from api.http.context import REQUEST, RequestContext
from zeroskew.contract.errors.service import (
    BodyTimeoutError,
    BodyTooLargeError,
    InvalidRequestError,
    UnsupportedMediaTypeError,
)
from zeroskew.contract.settings import Settings
from zeroskew.model.requests.body_documents import (
    RequestDocument,
    describe_body,
    parse_document,
)

__all__ = ["BINARY", "DocumentBody", "JsonBody", "document_body"]

BINARY: Final = "application/octet-stream"
_JSON: Final = "application/json"
_JSON_BYTES: Final = _JSON.encode()
_MAX_MEDIA_TYPE: Final = 256
_Document = TypeVar("_Document", bound=RequestDocument)
_UTF8: Final = frozenset({"utf-8", "utf8", "us-ascii"})


class JsonBody:
    """Reads a request's body within the service's limits of type, size and time.

    With `takes_binary` the body may be declared as bytes of any kind, too, or not at all, and be
    compressed: Triton's client declares nothing, and can compress. `max_bytes` takes the place of
    the settings' limit.
    """

    def __init__(
        self,
        request: Request,
        *,
        takes_binary: bool = False,
        max_bytes: int | None = None,
    ) -> None:
        settings: Settings = request.app.parts[Settings]
        self._request = request
        self._takes_binary = takes_binary
        self._coding: str | None = None
        self._max_bytes = settings.max_body_bytes if max_bytes is None else max_bytes
        self._timeout_sec = settings.body_timeout_sec

    async def read(self) -> bytes:
        """Return the whole body.

        Raises
        ------
        UnsupportedMediaTypeError
            If the body is declared as something other than JSON in UTF-8, as compressed in a way
            that is not taken, or as nothing: that is what a page can send without the browser
            asking first.
        InvalidTensorsError
            If it is not compressed as it says.
        BodyTooLargeError
            If it is larger than the limit, whether its length is declared or not, as it comes or
            inflated.
        BodyTimeoutError
            If it does not arrive in time.
        OverloadedError
            If too many requests are under way once it is there.
        """
        length, is_plain_json = self._look_at_headers()
        if not is_plain_json:
            self._check_media_type(has_body=length not in (b"", b"0"))
        if length.isdigit() and (len(length) > 18 or int(length) > self._max_bytes):
            raise self._too_large()
        context: RequestContext = self._request.scope[REQUEST]
        place = context.place
        try:
            if place.body == "whole":
                return self._decode(await self._read_chunks())
            # What is late has had all of its time; what is there of it may be refused by its size.
            timeout_sec = 0 if place.body == "late" else self._timeout_sec
            async with asyncio.timeout(timeout_sec):
                body = await self._read_chunks()
        except TimeoutError as error:
            raise BodyTimeoutError(
                f"Got a body that took longer than {self._timeout_sec} seconds to arrive."
            ) from error
        except ClientDisconnect as error:
            raise InvalidRequestError("The client went away.") from error
        place.take_late(self._request.scope["path"])
        return self._decode(body)

    def flag(self, name: str) -> bool:
        """Return the query parameter `name`, which is ``true`` or ``false`` and false by default.

        Raises
        ------
        InvalidRequestError
            If it is anything else.
        """
        if not self._request.scope.get("query_string"):
            return False
        value = self._request.query_params.get(name, "false")
        if value in ("true", "false"):
            return value == "true"
        raise InvalidRequestError(
            f"Got {name}={value[:32]!r} in the query, but expected true or false."
        )

    def _decode(self, body: bytes) -> bytes:
        return body if self._coding is None else inflate(body, self._coding, self._max_bytes)

    async def _read_chunks(self) -> bytes:
        chunks: list[bytes] = []
        size = 0
        has_more = True  # As `Request.stream` does, at a third of what its generator costs.
        while has_more:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk, has_more = message.get("body", b""), message.get("more_body", False)
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large()
            chunks.append(chunk)
        return b"".join(chunks)

    def _look_at_headers(self) -> tuple[bytes, bool]:
        """Return the declared length, and whether the body is what nearly every client sends."""
        length, kind, is_encoded = b"", b"", False  # The length is `?` for a body in chunks.
        for name, value in self._request.scope["headers"]:
            if name == b"content-length":
                length = value
            elif name == b"content-type":
                kind = value
            elif name == b"content-encoding":
                is_encoded = True
            elif name == b"transfer-encoding":
                length = b"?"
        return length, kind == _JSON_BYTES and not is_encoded

    def _check_media_type(self, *, has_body: bool) -> None:
        coding = self._request.headers.get("content-encoding", "identity").lower()
        if coding != "identity":
            taken = CODINGS if self._takes_binary else ()
            if coding not in taken:
                expected = " or ".join(("a plain one", *taken))
                raise UnsupportedMediaTypeError(
                    f"Got a body compressed by {coding[:32]!r}, but expected {expected}."
                )
            self._coding = coding
        given = self._request.headers.get("content-type")
        if given is None:
            if has_body and not self._takes_binary:
                raise UnsupportedMediaTypeError(
                    "Got a body without a content-type, but expected application/json."
                )
            return
        if len(given) > _MAX_MEDIA_TYPE:
            # The standard library takes time by the square of its length.
            raise UnsupportedMediaTypeError(
                f"Got a content-type of {len(given)} characters, but expected at most "
                f"{_MAX_MEDIA_TYPE}."
            )
        header = Message()
        header["content-type"] = given
        kind = header.get_content_type()
        charset = header.get_content_charset("utf-8")
        if kind == BINARY and self._takes_binary:
            return
        if not (kind == _JSON or kind.endswith("+json")) or charset not in _UTF8:
            raise UnsupportedMediaTypeError(
                f"Got a body of type {kind} in {charset}, but expected application/json in utf-8."
            )

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(
            f"Got a body of more than {self._max_bytes} bytes, but expected at most that."
        )


class DocumentBody(Generic[_Document]):
    """Reads a body that is one document, within the service's limits; FastAPI would have none.

    Parameters
    ----------
    kind
        The document's type.
    is_required
        Whether it must be there; else an empty body is an empty object.
    takes_binary
        Whether it may be declared as something other than JSON; see `JsonBody`.
    example
        One for the OpenAPI document.
    """

    def __init__(
        self,
        kind: type[_Document],
        *,
        is_required: bool = True,
        takes_binary: bool = False,
        example: Any = None,
    ) -> None:
        self._kind = kind
        self._is_required = is_required
        self._takes_binary = takes_binary
        self.openapi_extra = describe_body(kind, is_required=is_required, example=example)
        """What OpenAPI is told of a route that has it."""

    async def __call__(self, request: Request) -> _Document:
        """Return the document of a request.

        Raises
        ------
        InvalidRequestError
            If it is not one.
        ServiceError
            What `JsonBody.read` raises.
        """
        body = await JsonBody(request, takes_binary=self._takes_binary).read()
        return parse_document(self._kind, body if body or self._is_required else b"{}")


def document_body(kind: type[RequestDocument], **options: Any) -> Any:
    """Return what gives a route its body: ``move: Annotated[AliasMove, document_body(AliasMove)]``.

    The options are those of `DocumentBody`.
    """
    return Depends(DocumentBody(kind, **options))
