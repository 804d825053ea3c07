"""Sends every log line, the service's own and the server's, through structlog to stderr.

A line that cannot be written, because stderr is closed, its reader went away or its disk is full,
is lost: what the line is about goes on.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Any, Final, Literal, TextIO

import structlog
from pydantic_core import to_json
from structlog.types import EventDict, Processor

__all__ = ["REQUEST_ID", "TRACE_ID", "configure_logging"]

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id")
"""The id of the request that is being answered; every log line of it carries the id."""

TRACE_ID: Final[ContextVar[str | None]] = ContextVar("trace_id", default=None)
"""The caller's trace, where the request names one; every log line of it carries that too."""

_UNUSUAL: Final = frozenset({"stack", "exception", "exc_info", "logger", "logger_name"})
_QUOTED: Final = frozenset(" \t=\r\n\"'")
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logging(
    log_format: Literal["console", "json"], level: Literal["debug", "info", "warning", "error"]
) -> None:
    """Configure structlog and the standard library's logging for the whole process.

    Parameters
    ----------
    log_format
        ``console`` for a reader, ``json`` for one JSON object a line.
    level
        The lowest level that is written.
    """
    shared: list[Processor] = [
        _add_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    stream: Any = _LossyStream(sys.stderr)  # It has all of a text stream that is used.
    console = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    rendered: list[Processor] = (
        [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ]
        if log_format == "json"
        else [
            # structlog's default prints every local variable of every frame: seconds of work
            # in the event loop, and the caller's data in the log.
            console if stream.isatty() else _PlainRenderer(console)
        ]
    )
    structlog.configure(
        processors=[*shared, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        # One write a line, or the lines of several workers would mix.
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    logging.basicConfig(handlers=[handler], level=_LEVELS[level], force=True)


class _LossyStream:
    """A stream, or none at all, that takes no notice of what it cannot write."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        if self._stream is not None:
            try:
                self._stream.write(text)
            except (OSError, ValueError):  # It is the latter where Python has closed it.
                return

    def flush(self) -> None:
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                return

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()


class _PlainRenderer:
    """structlog's lines without colors, in less than half its time: each request writes one.

    Parameters
    ----------
    console
        structlog's own, for lines with a traceback.
    """

    def __init__(self, console: structlog.dev.ConsoleRenderer) -> None:
        self._console = console

    def __call__(self, logger: Any, name: str, event_dict: EventDict) -> str:
        if not _UNUSUAL.isdisjoint(event_dict):
            return self._console(logger, name, event_dict)
        event = str(event_dict.pop("event", ""))
        head = f"{event_dict.pop('timestamp')} [{event_dict.pop('level'):<9}] {event:<30}"
        parts = [f"{key}={_show(event_dict[key])}" for key in sorted(event_dict)]
        return " ".join([head, *parts]).rstrip(" ")


def _show(value: Any) -> str:
    if isinstance(value, str):
        return value if _QUOTED.isdisjoint(value) else repr(value)
    return repr(value)


def _add_ids(_logger: Any, _method: str, event: EventDict) -> EventDict:
    request_id = REQUEST_ID.get(None)
    if request_id is not None:
        event["request_id"] = request_id
    trace_id = TRACE_ID.get()
    if trace_id is not None:
        event["trace_id"] = trace_id
    return event


def _to_json(event: dict[str, Any], **_: object) -> str:
    # Half the time of the standard library's, and a line is written for every request.
    return to_json(event, fallback=repr, inf_nan_mode="strings").decode()
