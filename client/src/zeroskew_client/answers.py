"""Tells a result from a problem, and both from what is no answer of this service."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar

from zeroskew_client.documents import take, take_optional
from zeroskew_client.errors import FieldProblem, ProblemError, UnexpectedAnswerError

__all__ = ["Answer", "read_answer", "read_retry_after"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP response; ``headers`` finds names in any case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def read_answer(answer: Answer, read: Callable[[Any, str], T], request_id: str) -> T:
    """Return what `read` makes of an answer's document.

    Parameters
    ----------
    answer
        The response.
    read
        Makes the result of the document and the request id, or raises `ValueError`.
    request_id
        The id that was sent; the service's own takes its place.

    Raises
    ------
    ProblemError
        If the status is 400 to 599.
    UnexpectedAnswerError
        If it is neither that nor 200, or the body is not the JSON that was expected.
    """
    request_id = answer.headers.get("x-request-id", request_id)
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise _read_problem(answer, request_id)
    if answer.status != HTTPStatus.OK:
        detail = f"Got an answer with status {answer.status}, but expected 200."
        raise UnexpectedAnswerError(detail, request_id)
    try:
        return read(_read_json(answer), request_id)
    except ValueError as error:
        raise UnexpectedAnswerError(f"Got an answer with {error}.", request_id) from error


def read_retry_after(text: str | None, now: datetime) -> float | None:
    """Return how many seconds a ``Retry-After`` asks to wait, `None` where it says nothing.

    >>> now = datetime(2013, 10, 1, 12, tzinfo=UTC)
    >>> read_retry_after("3", now), read_retry_after("Tue, 01 Oct 2013 12:00:05 GMT", now)
    (3.0, 5.0)

    A time that is past asks for no wait.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:18])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    # Such a date is in GMT; -0000, which says nothing of the zone, comes back without one.
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())


def _read_json(answer: Answer) -> Any:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise ValueError(f"content type {kind or 'none'!r}, but expected 'application/json'")
    try:
        return json.loads(answer.content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError("a body that is not JSON") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"Got {name}, which is not JSON.")


def _read_problem(answer: Answer, request_id: str) -> ProblemError:
    retry_after_sec = read_retry_after(answer.headers.get("retry-after"), datetime.now(UTC))
    try:
        document = _read_json(answer)
        code, detail = take(document, "code", str), take(document, "detail", str)
        errors = tuple(map(_read_field_problem, take_optional(document, "errors", list) or ()))
    except ValueError:
        # A proxy's page says nothing that could be relied on.
        detail = f"Got status {answer.status} without a problem document."
        code, errors = None, ()
    return ProblemError(answer.status, code, detail, request_id, errors, retry_after_sec)


def _read_field_problem(document: Any) -> FieldProblem:
    return FieldProblem(
        pointer=take(document, "pointer", str),
        got=take(document, "got", str),
        expected=take(document, "expected", str),
        message=take(document, "message", str),
    )
