"""The client that blocks until the answer is there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from random import Random
from typing import Any, Self, TypeVar

import httpx

from zeroskew_client import calls
from zeroskew_client.answers import Answer
from zeroskew_client.errors import ZeroskewError
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

__all__ = ["ZeroskewClient"]

T = TypeVar("T")


class ZeroskewClient:
    """Asks a service for predictions and keeps its connections open between calls.

    Any number of threads may use one client. Close it, or use it as a context manager.

    Parameters
    ----------
    base_url
        The service's address, with a path where it stands behind one.
    timeout
        How many seconds an attempt may take: each step of it (connecting, sending, waiting
        for the next bytes), and the body as a whole.
    retries
        How often and how patiently a call is tried; its ``deadline_sec`` bounds the whole call.
    headers
        Sent with every request, an API key for instance.
    transport
        Takes the place of httpx's own.
    random
        Where the jitter of the pauses comes from.

    Raises
    ------
    InvalidInputError
        If the address or a time is none.

    Every call raises the errors of `zeroskew_client.errors`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 10.0,
        retries: RetryPolicy | None = None,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
        random: Random | None = None,
    ) -> None:
        self._settings = make_settings(timeout, retries, random)
        self._http = httpx.Client(transport=transport, **connection_options(base_url, headers))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; no call can be made any more."""
        self._http.close()

    def predict(
        self,
        model: str,
        instances: Iterable[Mapping[str, Any]],
        *,
        version: int | None = None,
        alias: str | None = None,
        with_features: bool = False,
        timeout: float | None = None,
    ) -> PredictionBatch:
        """Score instances in one request.

        Parameters
        ----------
        model
            The model's name.
        instances
            At least one, as a mapping from a field's name to its value: a text, number,
            boolean or `None`, or a time with a UTC offset.
        version, alias
            Which version to ask, at most one of the two; ``champion`` where neither is given.
        with_features
            Whether the answer tells each instance's features.
        timeout
            In place of the client's.

        Returns
        -------
        PredictionBatch
            One prediction for each instance, in their order.

        Raises
        ------
        InvalidInputError
            If something cannot be sent: a NaN, a time without an offset, a name that is none.
        ProblemError
            If the service cannot or will not answer.
        ZeroskewError
            If no answer came; see `zeroskew_client.errors`.
        """
        call = calls.predict(
            model, instances, version=version, alias=alias, with_features=with_features
        )
        return self._send(call, timeout)

    def predict_many(
        self,
        model: str,
        instances: Iterable[Mapping[str, Any]],
        *,
        version: int | None = None,
        alias: str | None = None,
        with_features: bool = False,
        timeout: float | None = None,
        chunk_size: int = calls.CHUNK_SIZE,
    ) -> ManyPredictions:
        """Score any number of instances, in requests of `chunk_size`, one after another.

        The parameters are those of `predict`. All instances are checked before the first
        request. An alias may move between two requests; pass `version` to rule that out.

        Returns
        -------
        ManyPredictions
            One prediction for each instance, in their order, and which version it is of.

        Raises
        ------
        ZeroskewError
            As `predict`, of the first request that failed. ``instances`` says which ones it
            carried, and the pointers of a problem count from the first of all.
        """
        parts = calls.predict_in_chunks(
            model,
            instances,
            version=version,
            alias=alias,
            with_features=with_features,
            chunk_size=chunk_size,
        )
        return ManyPredictions(tuple(self._send(part, timeout) for part in parts))

    def send_labels(self, labels: Iterable[Label]) -> tuple[LabelOutcome, ...]:
        """Say what really happened; the service has it on disk when this returns.

        Parameters
        ----------
        labels
            At least one; all are kept, or none. The same label again changes nothing, so the
            call is retried as any other.

        Returns
        -------
        tuple of LabelOutcome
            What became of each, in their order.

        Raises
        ------
        InvalidInputError
            If one cannot be sent: a NaN, or a time without an offset.
        ProblemError
            If the service refuses one, or a key stands for another label.
        ZeroskewError
            If no answer came.
        """
        return self._send(calls.send_labels(labels))

    def models(self) -> tuple[ModelDetail, ...]:
        """Return all registered models, sorted by name."""
        return self._send(calls.list_models())

    def model(self, name: str) -> ModelDetail:
        """Return one model with its versions and aliases."""
        return self._send(calls.get_model(name))

    def version(self, name: str, version: int) -> VersionDetail:
        """Return one version of a model with its manifest."""
        return self._send(calls.get_version(name, version))

    def check_live(self) -> None:
        """Return when the service's process answers, and raise otherwise. Not retried."""
        self._send(calls.check_health("livez"))

    def check_ready(self) -> None:
        """Return when the service can predict, and raise what is missing. Not retried."""
        self._send(calls.check_health("readyz"))

    def _send(self, call: calls.Call[T], timeout: float | None = None) -> T:
        exchange = Exchange(call, self._settings, timeout)
        while True:
            try:
                with exchange.translate_failures():
                    answer = self._attempt(exchange)
                return exchange.read(answer)
            except ZeroskewError as error:
                pause_sec = exchange.pause_after(error)
            time.sleep(pause_sec)

    def _attempt(self, exchange: Exchange[T]) -> Answer:
        end = time.monotonic() + exchange.attempt_sec
        pieces = []
        with closing(self._http.send(exchange.request(self._http), stream=True)) as response:
            for piece in response.iter_bytes():
                pieces.append(piece)
                if time.monotonic() > end:
                    raise TimeoutError("the body came too slowly")
        return Answer(response.status_code, response.headers, b"".join(pieces))
