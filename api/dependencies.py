"""What routes are given: the service's open resources, and a request's body."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.message import Message
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from api.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    InvalidRequestError,
    UnsupportedMediaTypeError,
)
from api.feast_protocol.feature_catalogs import FeatureCatalogs
from api.feast_protocol.feature_lookups import FeatureLookups
from api.feast_protocol.feature_pushes import FeaturePushes
from api.prediction.active_models import ActiveModels
from api.prediction.model_catalog import ModelCatalog
from api.prediction.online_features import OnlineFeatureReader
from api.prediction.predictor import Predictor
from api.registry.registry_executor import RegistryExecutor
from api.settings import Settings

__all__ = ["JsonBody", "Resources", "ServiceResources", "resources_of"]


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything that the lifespan opened."""

    settings: Settings
    catalog: ModelCatalog
    registry_executor: RegistryExecutor
    models: ActiveModels
    predictor: Predictor
    reader: OnlineFeatureReader
    feature_catalogs: FeatureCatalogs
    feature_lookups: FeatureLookups
    feature_pushes: FeaturePushes


def resources_of(request: Request) -> Resources:
    """Return the resources of the service that `request` came to."""
    resources: Resources = request.app.state.resources
    return resources


# A coroutine although it awaits nothing: FastAPI hands plain functions to a thread.
async def _get_resources(request: Request) -> Resources:
    return resources_of(request)


ServiceResources = Annotated[Resources, Depends(_get_resources)]


_JSON: Final = "application/json"
_UTF8: Final = frozenset({"utf-8", "utf8", "us-ascii"})


class JsonBody:
    """Reads a request's body within the service's limits of type, size and time."""

    def __init__(self, request: Request, settings: Settings) -> None:
        self._request = request
        self._max_bytes = settings.max_body_bytes
        self._timeout_sec = settings.body_timeout_sec

    async def read(self) -> bytes:
        """Return the whole body.

        Raises
        ------
        UnsupportedMediaTypeError
            If the body is declared as something other than JSON in UTF-8, or as compressed.
            A request that declares nothing is taken for JSON.
        BodyTooLargeError
            If it is larger than the limit, whether its length is declared or not.
        BodyTimeoutError
            If it does not arrive in time.
        """
        headers = self._request.headers
        # What nearly every client sends, told without parsing it as a mail header.
        if headers.get("content-type") != _JSON or "content-encoding" in headers:
            self._check_media_type()
        self._check_declared_length()
        try:
            async with asyncio.timeout(self._timeout_sec):
                return await self._read_chunks()
        except TimeoutError as error:
            raise BodyTimeoutError(
                f"Got a body that took longer than {self._timeout_sec} seconds to arrive."
            ) from error
        except ClientDisconnect as error:
            raise InvalidRequestError("The client went away.") from error

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

    async def _read_chunks(self) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in self._request.stream():
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large()
            chunks.append(chunk)
        return b"".join(chunks)

    def _check_declared_length(self) -> None:
        declared = self._request.headers.get("content-length", "")
        if declared.isdecimal() and (len(declared) > 18 or int(declared) > self._max_bytes):
            raise self._too_large()

    def _check_media_type(self) -> None:
        if self._request.headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMediaTypeError("Got a compressed body, but expected a plain one.")
        header = Message()
        header["content-type"] = self._request.headers.get("content-type", _JSON)
        kind = header.get_content_type()
        charset = header.get_content_charset("utf-8")
        if not (kind == _JSON or kind.endswith("+json")) or charset not in _UTF8:
            raise UnsupportedMediaTypeError(
                f"Got a body of type {kind} in {charset}, but expected application/json in utf-8."
            )

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(
            f"Got a body of more than {self._max_bytes} bytes, but expected at most that."
        )
