"""Gives every request an id, a log line, and an answer even when its route fails."""

from __future__ import annotations

import os
import re
import time
from contextlib import ExitStack
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.error_responses import error_response
from api.http.trace_context import bind_trace
from api.http.tracing import RequestSpan, request_span
from api.log_config import REQUEST_ID
from api.metrics.instruments import OTHER
from api.metrics.service_metrics import ServiceMetrics

__all__ = ["RequestContextMiddleware"]

_HEADER: Final = b"x-request-id"
_ACCEPTED: Final = re.compile(rb"(?!zsk_)[A-Za-z0-9._-]{1,128}")
_KEY: Final = re.compile(r"zsk_\w{12,}")
_LOGGED_PATH: Final = 256
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
_log: Final = structlog.get_logger(__name__)


class RequestContextMiddleware:
    """Binds ``request_id`` to the request, its log lines and its ``X-Request-ID`` header.

    The caller's own id is kept where it is 1 to 128 letters, digits, dots, underscores and
    hyphens. An exception that no handler knows is logged under the id and answered with a
    problem that names nothing but the id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        bind_trace(scope["headers"])
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (_HEADER, request_id.encode()),
                    *state.get("limit_headers", ()),
                ]
            await send(message)

        begin = time.perf_counter()
        token = REQUEST_ID.set(request_id)
        metrics: ServiceMetrics = scope["app"].state.metrics
        try:
            with ExitStack() as stack:
                span = None
                if metrics.tracer is not None:
                    span = stack.enter_context(request_span(metrics.tracer, scope, request_id))
                try:
                    await self._app(scope, receive, send_with_id)
                except Exception:
                    _log.exception("request_crashed")
                    if status:
                        raise
                    await _answer_crash(scope, receive, send_with_id, request_id)
                _finish(scope, status, time.perf_counter() - begin, metrics, span)
        finally:
            REQUEST_ID.reset(token)
            scope["app"].state.gate.leave(scope)


async def _answer_crash(scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
    response = error_response(
        scope["path"],
        status=500,
        code="internal_error",
        detail="The service failed; its log says more under this request id.",
        request_id=request_id,
    )
    await response(scope, receive, send)


def _finish(
    scope: Scope, status: int, seconds: float, metrics: ServiceMetrics, span: RequestSpan | None
) -> None:
    """Log and count a request that was answered; what it lacked stands in the same line."""
    failure = scope["state"].get("failure", {})
    (_log.warning if failure else _log.info)(
        "request_finished",
        method=scope["method"],
        path=_clean(scope["path"][:_LOGGED_PATH]),
        status=status,
        duration_ms=round(seconds * 1000, 3),
        **failure,
    )
    # A route as it is declared, never a path that a client made up.
    route = getattr(scope.get("route"), "path", OTHER)
    method = scope["method"] if scope["method"] in _METHODS else OTHER
    metrics.requests.add((method, route, str(status)))
    metrics.request_seconds.observe(seconds, (route,))
    if span is not None:
        span.finish(method=method, route=route, status=status)


def _clean(path: str) -> str:
    """Return a path without what a terminal would act on, and without a key that strayed there."""
    if not path.isprintable():
        path = path.encode("unicode_escape").decode()
    return _KEY.sub("zsk_***", path)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == _HEADER and _ACCEPTED.fullmatch(value):
            return str(value.decode())
    return os.urandom(16).hex()
