"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any, Self, TypeVar

import httpx

from zeroskew_client import calls
from zeroskew_client.answers import Answer
from zeroskew_client.errors import InvalidInputError, ZeroskewError
from zeroskew_client.exchange import Exchange, connection_options, make_settings
from zeroskew_client.labels import Label
from zeroskew_client.results import (
    LabelOutcome,
    ManyPredictions,
    ModelDetail,
    PredictionBatch,
    VersionDetail,
)
from zeroskew_client.retries import RetryPolicy

__all__ = ["AsyncZeroskewClient"]

T = TypeVar("T")


class AsyncZeroskewClient:
    """Asks a service for predictions and keeps its connections open between calls.

    Any number of tasks of one asyncio event loop may use one client. Close it, or use it as
    an asynchronous context manager. Parameters and errors are those of `ZeroskewClient`; here
    `timeout` bounds an attempt as a whole.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 10.0,
        retries: RetryPolicy | None = None,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        random: Random | None = None,
    ) -> None:
        self._settings = make_settings(timeout, retries, random)
        self._http = httpx.AsyncClient(transport=transport, **connection_options(base_url, headers))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; no call can be made any more."""
        await self._http.aclose()

    async def predict(
        self,
        model: str,
        instances: Iterable[Mapping[str, Any]],
        *,
        version: int | None = None,
        alias: str | None = None,
        with_features: bool = False,
        timeout: float | None = None,
    ) -> PredictionBatch:
        """Score instances in one request, as `ZeroskewClient.predict` does."""
        call = calls.predict(
            model, instances, version=version, alias=alias, with_features=with_features
        )
        return await self._send(call, timeout)

    async def predict_many(
        self,
        model: str,
        instances: Iterable[Mapping[str, Any]],
        *,
        version: int | None = None,
        alias: str | None = None,
        with_features: bool = False,
        timeout: float | None = None,
        chunk_size: int = calls.CHUNK_SIZE,
        concurrency: int = 4,
    ) -> ManyPredictions:
        """Score any number of instances, in requests of `chunk_size`, some at a time.

        As `ZeroskewClient.predict_many`, but up to `concurrency` requests are under way at
        once. When one fails, the others are given up.
        """
        if concurrency < 1:
            raise InvalidInputError(f"Got concurrency={concurrency}, but expected at least 1.")
        parts = calls.predict_in_chunks(
            model,
            instances,
            version=version,
            alias=alias,
            with_features=with_features,
            chunk_size=chunk_size,
        )
        places = asyncio.Semaphore(concurrency)

        async def send(part: calls.Call[PredictionBatch]) -> PredictionBatch:
            async with places:
                return await self._send(part, timeout)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(send(part)) for part in parts]
        except ExceptionGroup as failures:
            # Callers expect the errors of `predict`, not a group of them.
            first = failures.exceptions[0]
            raise first from first.__cause__
        return ManyPredictions(tuple(task.result() for task in tasks))

    async def send_labels(self, labels: Iterable[Label]) -> tuple[LabelOutcome, ...]:
        """Say what really happened, as `ZeroskewClient.send_labels` does."""
        return await self._send(calls.send_labels(labels))

    async def models(self) -> tuple[ModelDetail, ...]:
        """Return all registered models, sorted by name."""
        return await self._send(calls.list_models())

    async def model(self, name: str) -> ModelDetail:
        """Return one model with its versions and aliases."""
        return await self._send(calls.get_model(name))

    async def version(self, name: str, version: int) -> VersionDetail:
        """Return one version of a model with its manifest."""
        return await self._send(calls.get_version(name, version))

    async def check_live(self) -> None:
        """Return when the service's process answers, and raise otherwise. Not retried."""
        await self._send(calls.check_health("livez"))

    async def check_ready(self) -> None:
        """Return when the service can predict, and raise what is missing. Not retried."""
        await self._send(calls.check_health("readyz"))

    async def _send(self, call: calls.Call[T], timeout: float | None = None) -> T:
        exchange = Exchange(call, self._settings, timeout)
        while True:
            try:
                with exchange.translate_failures():
                    answer = await self._attempt(exchange)
                return exchange.read(answer)
            except ZeroskewError as error:
                pause_sec = exchange.pause_after(error)
            await asyncio.sleep(pause_sec)

    async def _attempt(self, exchange: Exchange[T]) -> Answer:
        async with asyncio.timeout(exchange.attempt_sec):
            response = await self._http.send(exchange.request(self._http))
        return Answer(response.status_code, response.headers, response.content)
