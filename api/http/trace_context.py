"""The caller's trace, after W3C Trace Context."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from api.log_config import TRACE_ID

__all__ = ["bind_trace", "parse_traceparent"]

_HEADER: Final = b"traceparent"
_TRACEPARENT: Final = re.compile(
    rb"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}"
    rb"(?P<rest>-.*)?"
)


def parse_traceparent(value: bytes) -> str | None:
    """Return the trace id of a ``traceparent`` header, or ``None`` where the header is invalid.

    Later versions may add fields behind the four of version 00; version ff and ids of nothing
    but zeros are invalid (https://www.w3.org/TR/trace-context/#traceparent-header).

    >>> parse_traceparent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    '4bf92f3577b34da6a3ce929d0e0e4736'
    """
    found = _TRACEPARENT.fullmatch(value)
    if found is None or found["version"] == b"ff" or (found["version"] == b"00" and found["rest"]):
        return None
    if not (found["trace"].strip(b"0") and found["parent"].strip(b"0")):
        return None
    return found["trace"].decode()


def bind_trace(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Let every log line of this request carry the trace id of its ``traceparent``.

    A header given twice is as good as none. Nothing is answered: no standard has a header for
    it, and the service starts no request of its own that it could hand the trace to.
    """
    given = [value for name, value in headers if name == _HEADER]
    if len(given) == 1:
        TRACE_ID.set(parse_traceparent(given[0]))
