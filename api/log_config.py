"""Sends every log line, the service's own and the server's, through structlog to stderr."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Any, Final, Literal

import structlog
from pydantic_core import to_json
from structlog.types import EventDict, Processor

__all__ = ["REQUEST_ID", "TRACE_ID", "configure_logging"]

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id")
"""The id of the request that is being answered; every log line of it carries the id."""

TRACE_ID: Final[ContextVar[str | None]] = ContextVar("trace_id", default=None)
"""The caller's trace, where the request names one; every log line of it carries that too."""

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
    rendered: list[Processor] = (
        [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ]
        if log_format == "json"
        else [
            # structlog's default prints every local variable of every frame: seconds of work
            # in the event loop, and the caller's data in the log.
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    structlog.configure(
        processors=[*shared, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        # One write a line, or the lines of several workers would mix.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    logging.basicConfig(handlers=[handler], level=_LEVELS[level], force=True)


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
