"""What can go wrong when a service is asked.

::

    ZeroskewError
    ├── InvalidInputError        refused here, before anything is sent (a ValueError as well)
    ├── ConnectionFailedError    no connection, or one that broke before the whole answer came
    ├── RequestTimeoutError      no answer in time (a TimeoutError as well)
    ├── ProblemError             the service answered that it cannot or will not
    ├── UnexpectedAnswerError    the answer is none that this service gives
    └── RetriesExhaustedError    the last attempt failed too; `last` says how

``str(error)`` says what came and what was expected, and the request id where there is one.
All arguments are positional, so that errors can be pickled, as a pool of processes does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

__all__ = [
    "ConnectionFailedError",
    "FieldProblem",
    "InvalidInputError",
    "ProblemError",
    "RequestTimeoutError",
    "RetriesExhaustedError",
    "UnexpectedAnswerError",
    "ZeroskewError",
]

_INSTANCE: Final = re.compile(r"(?<=\A/instances/)(0|[1-9][0-9]*)(?=/|\Z)")


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One refused place of a request; ``pointer`` is a JSON Pointer (RFC 6901)."""

    pointer: str
    got: str
    expected: str
    message: str

    def moved(self, offset: int) -> FieldProblem:
        """Return this problem for an instance that stands `offset` places further on.

        >>> FieldProblem("/instances/3/dest", "null", "a string", "…").moved(500).message
        'Got null at /instances/503/dest, but expected a string.'

        A pointer that names no instance stays as it is.
        """
        pointer = _INSTANCE.sub(lambda found: str(int(found[0]) + offset), self.pointer)
        if pointer == self.pointer:
            return self
        message = f"Got {self.got} at {pointer}, but expected {self.expected}."
        return replace(self, pointer=pointer, message=message)


class ZeroskewError(Exception):
    """The root of what this package raises.

    Attributes
    ----------
    detail
        What came and what was expected.
    request_id
        The id under which the service logged the request; `None` where none was sent.
    instances
        With `predict_many`, the places of the caller's instances that the failed request
        carried; otherwise `None`.
    """

    instances: range | None = None

    def __init__(self, detail: str, request_id: str | None = None) -> None:
        super().__init__(detail, request_id)
        self.detail = detail
        self.request_id = request_id

    def __str__(self) -> str:
        text = self._describe()
        if self.instances is not None:
            text = f"Instances {self.instances[0]} to {self.instances[-1]}: {text}"
        return text if self.request_id is None else f"{text} (request {self.request_id})"

    def _describe(self) -> str:
        return self.detail

    def place(self, instances: range) -> None:
        """Say of which of the caller's instances this error is, in its pointers as well."""
        self.instances = instances


class InvalidInputError(ZeroskewError, ValueError):
    """The caller's input cannot be sent; nothing was."""


class ConnectionFailedError(ZeroskewError):
    """There was no connection, or it broke before the whole answer had come."""


class RequestTimeoutError(ZeroskewError, TimeoutError):
    """The answer did not come in time."""


class UnexpectedAnswerError(ZeroskewError):
    """The answer is none that the service gives: another one's, or a damaged one."""


class ProblemError(ZeroskewError):
    """The service answered with an error, as problem details (RFC 9457).

    Attributes
    ----------
    status
        The HTTP status, 400 to 599.
    code
        Stable and machine-readable, such as ``unknown_model``; `None` where the answer is no
        problem document, as that of a proxy.
    errors
        The refused places of the request.
    retry_after_sec
        How long the service asks to wait, `None` where it does not.
    """

    def __init__(
        self,
        status: int,
        code: str | None,
        detail: str,
        request_id: str | None = None,
        errors: tuple[FieldProblem, ...] = (),
        retry_after_sec: float | None = None,
    ) -> None:
        super().__init__(detail, request_id)
        self.args = (status, code, detail, request_id, errors, retry_after_sec)
        self.status = status
        self.code = code
        self.errors = errors
        self.retry_after_sec = retry_after_sec

    def _describe(self) -> str:
        return f"{self.status} {self.code}: {self.detail}" if self.code else self.detail

    def place(self, instances: range) -> None:
        """Say of which of the caller's instances this error is, in its pointers as well."""
        super().place(instances)
        moved = tuple(error.moved(instances.start) for error in self.errors)
        for before, after in zip(self.errors, moved, strict=True):
            self.detail = self.detail.replace(before.message, after.message)
        self.errors = moved


class RetriesExhaustedError(ZeroskewError):
    """An attempt failed that another might have mended, but attempts or time are used up.

    Attributes
    ----------
    last
        How the last attempt failed; also the ``__cause__``.
    attempts
        How many were made.
    """

    def __init__(self, last: ZeroskewError, attempts: int) -> None:
        tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        super().__init__(f"Got no answer in {tries}; the last: {last._describe()}", last.request_id)
        self.args = (last, attempts)
        self.last = last
        self.attempts = attempts

    def place(self, instances: range) -> None:
        """Say of which of the caller's instances this error is, in its pointers as well."""
        super().place(instances)
        self.last.place(instances)
