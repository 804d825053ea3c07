"""One call over its attempts, without the sending: both clients drive it."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Generic, TypeVar

import httpx

from zeroskew_client.answers import Answer, read_answer
from zeroskew_client.calls import Call
from zeroskew_client.errors import (
    ConnectionFailedError,
    InvalidInputError,
    ProblemError,
    RequestTimeoutError,
    RetriesExhaustedError,
    UnexpectedAnswerError,
    ZeroskewError,
)
from zeroskew_client.retries import RetryPolicy, may_pass
from zeroskew_client.version import __version__

__all__ = ["Exchange", "ExchangeSettings", "connection_options", "make_settings"]

_SHORTEST_SEC: Final = 0.001

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSettings:
    """What all calls of a client have in common.

    Raises
    ------
    InvalidInputError
        If `timeout_sec` is not a finite number above zero.
    """

    timeout_sec: float
    retries: RetryPolicy
    random: Random
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        _check_timeout(self.timeout_sec)


def make_settings(
    timeout_sec: float, retries: RetryPolicy | None, random: Random | None
) -> ExchangeSettings:
    """Return a client's settings, with what is left out filled in."""
    return ExchangeSettings(
        timeout_sec=timeout_sec,
        retries=retries or RetryPolicy(),
        random=random or Random(),  # noqa: S311 - jitter guards no secret
    )


def connection_options(base_url: str, headers: Mapping[str, str] | None) -> dict[str, Any]:
    """Return what httpx's clients are made with.

    Raises
    ------
    InvalidInputError
        If `base_url` is no address of HTTP or HTTPS, or a header is no text in ASCII.
    """
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, TypeError) as error:
        raise InvalidInputError(f"Got a base_url that is no address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidInputError("Got a base_url without http:// or https:// and a host.")
    every = httpx.Headers({"User-Agent": f"zeroskew-client/{__version__}"})
    try:
        every.update(headers)
    except (AttributeError, TypeError, UnicodeEncodeError) as error:
        # The value may be a secret.
        raise InvalidInputError("Got a header that is no text in ASCII.") from error
    return {"base_url": url, "headers": every}


class Exchange(Generic[T]):
    """Says what to send next and what came of it; keeps to the attempts and the deadline.

    Parameters
    ----------
    call
        What to ask.
    settings
        The client's.
    timeout_sec
        How long one attempt may take; the client's where `None`.
    """

    def __init__(
        self, call: Call[T], settings: ExchangeSettings, timeout_sec: float | None = None
    ) -> None:
        self.request_id = uuid.uuid4().hex
        self._call = call
        self._settings = settings
        self._timeout_sec = settings.timeout_sec if timeout_sec is None else timeout_sec
        _check_timeout(self._timeout_sec)
        self._deadline = settings.now() + settings.retries.deadline_sec
        self._failures = 0

    @property
    def attempt_sec(self) -> float:
        """How many seconds the next attempt may take."""
        remaining = self._deadline - self._settings.now()
        return max(_SHORTEST_SEC, min(self._timeout_sec, remaining))

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Return the next attempt's request; all attempts have one request id."""
        headers = {"Accept": "application/json", "X-Request-ID": self.request_id}
        if self._call.content is not None:
            headers["Content-Type"] = "application/json"
        return http.build_request(
            self._call.method,
            self._call.path,
            params=self._call.parameters or None,
            content=self._call.content,
            headers=headers,
            timeout=self.attempt_sec,
        )

    @contextmanager
    def translate_failures(self) -> Iterator[None]:
        """Raise what kept an attempt from an answer as an error of this package."""
        try:
            yield
        except (httpx.TimeoutException, TimeoutError) as error:
            detail = f"Got no answer in time: {_describe(error)}."
            raise RequestTimeoutError(detail, self.request_id) from error
        except httpx.LocalProtocolError as error:
            detail = f"Got a request that HTTP cannot carry: {_describe(error)}."
            raise InvalidInputError(detail) from error
        except httpx.TransportError as error:
            detail = f"Got no answer, because the connection failed: {_describe(error)}."
            raise ConnectionFailedError(detail, self.request_id) from error
        except httpx.HTTPError as error:
            detail = f"Got an answer that cannot be read: {_describe(error)}."
            raise UnexpectedAnswerError(detail, self.request_id) from error

    def read(self, answer: Answer) -> T:
        """Return the call's result, or raise what the answer is instead."""
        return read_answer(answer, self._call.read, self.request_id)

    def pause_after(self, error: ZeroskewError) -> float:
        """Return the seconds to wait before the next attempt.

        Raises
        ------
        ZeroskewError
            `error` itself, where another attempt would be of no use or none is allowed.
        RetriesExhaustedError
            If the attempts are used up, or the deadline comes before the next could begin.
        """
        self._failures += 1
        policy = self._settings.retries
        if not self._call.is_retried or policy.attempts == 1 or not may_pass(error):
            raise self._placed(error)
        asked = error.retry_after_sec if isinstance(error, ProblemError) else None
        pause_sec = policy.pause_sec(self._failures, asked, self._settings.random)
        is_late = self._settings.now() + pause_sec >= self._deadline
        if is_late or self._failures == policy.attempts:
            raise self._placed(RetriesExhaustedError(error, self._failures)) from error
        return pause_sec

    def _placed(self, error: ZeroskewError) -> ZeroskewError:
        if self._call.instances is not None:
            error.place(self._call.instances)
        return error


def _check_timeout(timeout_sec: float) -> None:
    if not 0 < timeout_sec < math.inf:
        raise InvalidInputError(
            f"Got timeout={timeout_sec}, but expected a finite number of seconds above zero."
        )


def _describe(error: Exception) -> str:
    # Some of httpx's errors have no text.
    name = type(error).__name__
    return f"{name} ({error})" if str(error) else name
