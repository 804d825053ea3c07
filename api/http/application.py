"""The application: a request's context, its way to a route, and the short way of predictions.

FastAPI's own way has eight layers of which a prediction needs one, and each has a price for every
request. So a request for one of the routes that are named to `Application` goes past them.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Final, TypeVar

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.access_guard import AccessGuard
from api.http.context import REQUEST, RequestContext
from api.http.error_responses import answer_crash, answer_service_error
from api.http.gate import Place, RequestGate
from api.http.guarded_route import DirectRoute, GuardedRoute
from api.http.methods import HeadAndOptionsMiddleware
from api.http.tracing import TRACEPARENT, RequestSpan, bind_trace, request_span
from api.log_config import REQUEST_ID, TRACE_ID
from api.metrics.instruments import OTHER
from api.metrics.service_metrics import ServiceMetrics
from zeroskew.contract.errors.service import ServiceError

__all__ = ["Application", "part", "part_of"]

_HEADER: Final = b"x-request-id"
_ACCEPTED: Final = re.compile(rb"(?!zsk_)[A-Za-z0-9._-]{1,128}")
_KEY: Final = re.compile(r"zsk_\w{12,}")
_LOGGED_PATH: Final = 256
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
_OF_A_REQUEST: Final = inspect.Signature(
    [inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)]
)
_Part = TypeVar("_Part")
_log: Final = structlog.get_logger(__name__)


class Application(FastAPI):
    """FastAPI with a short way for some routes.

    Parameters
    ----------
    direct
        The routers of the routes with the short way, all of them `DirectRoute`; they are tried
        first, in their order.
    guard_sites
        Puts the guard against other sites' pages around an application.
    options
        FastAPI's own.
    """

    def __init__(
        self,
        *,
        direct: Sequence[APIRouter],
        guard_sites: Callable[[ASGIApp], ASGIApp],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.parts: dict[type[Any], Any] = {}
        """What the service consists of while it runs, by type."""
        for router in direct:
            self.include_router(router)
        self.add_middleware(HeadAndOptionsMiddleware)
        self.add_middleware(guard_sites)
        self.add_middleware(RequestContextMiddleware)
        self._answer_in_context = RequestContextMiddleware(guard_sites(self._answer_directly))
        self._direct = [
            (method, route.path_regex.match, route)
            for router in direct
            for route in router.routes
            if isinstance(route, DirectRoute)
            for method in sorted(route.methods or ())
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "lifespan":
            send = _tell_refusal(send)
        elif scope["type"] == "http" and not scope.get("root_path"):
            path, method = scope["path"], scope["method"]
            for route_method, match, route in self._direct:
                if route_method == method and (found := match(path)) is not None:
                    scope["app"], scope["route"] = self, route
                    scope["path_params"] = found.groupdict()
                    await self._answer_in_context(scope, receive, send)
                    return
        await super().__call__(scope, receive, send)

    async def admit(self, scope: Scope, route: GuardedRoute) -> None:
        """Let a request through to a route, or refuse it.

        Raises
        ------
        AccessError
            If its caller may not do what the route does.
        InvalidRequestError
            If a parameter of its query has no meaning there, or is given twice.
        """
        context: RequestContext = scope[REQUEST]
        assert route.access is not None
        guard: AccessGuard = self.parts[AccessGuard]
        context.caller, context.limit_headers = await guard.admit(scope, route.access)
        if scope["query_string"]:
            route.check_query(scope["query_string"])

    async def _answer_directly(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, route = Request(scope, receive, send), scope["route"]
        try:
            await self.admit(scope, route)
            response = await route.endpoint(request=request, **scope["path_params"])
        except ServiceError as error:
            response = answer_service_error(request, error)
        await response(scope, receive, send)


def _tell_refusal(send: Send) -> Send:
    """Let a start that is refused say why in a sentence; what nobody expected keeps its stack."""

    async def tell(message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            message = {**message, "message": _describe_refusal() or message["message"]}
        await send(message)

    return tell


def _describe_refusal() -> str | None:
    """Say of the error that ends a start what an operator can do about it, if it is one of ours."""
    error = sys.exception()
    if isinstance(error, ServiceError):
        return str(error)
    from zeroskew.records.database.database_errors import describe_database_error

    return None if error is None else describe_database_error(error)


def part_of(request: Request, kind: type[_Part]) -> _Part:
    """Return the part of the service that is of a type."""
    found: _Part = request.app.parts[kind]
    return found


def part(kind: type[Any]) -> Any:
    """Return what gives a route the part of the service that is of a type.

    An endpoint says so in its signature: ``models: Annotated[ActiveModels, part(ActiveModels)]``.
    """

    # A coroutine although it awaits nothing: FastAPI hands plain functions to a thread.
    async def find(request: Request) -> Any:
        return part_of(request, kind)

    # FastAPI asks for it once a route, and it is always the same.
    find.__signature__ = _OF_A_REQUEST  # type: ignore[attr-defined]
    return Depends(find)


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
        context = _open_context(scope)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (_HEADER, context.id.encode()),
                    *context.limit_headers,
                ]
            await send(message)

        begin = time.perf_counter()
        token = REQUEST_ID.set(context.id)
        metrics: ServiceMetrics = scope["app"].parts[ServiceMetrics]
        tracer = metrics.tracer
        try:
            with request_span(tracer, scope, context.id) if tracer else nullcontext() as span:
                try:
                    await self._app(scope, receive, send_with_id)
                except Exception:
                    _log.exception("request_crashed")
                    if status:
                        raise
                    answer = answer_crash(Request(scope))
                    await answer(scope, receive, send_with_id)
                _finish(scope, context, status, time.perf_counter() - begin, metrics, span)
        finally:
            REQUEST_ID.reset(token)
            context.place.leave()


def _finish(
    scope: Scope,
    context: RequestContext,
    status: int,
    seconds: float,
    metrics: ServiceMetrics,
    span: RequestSpan | None,
) -> None:
    """Log and count a request that was answered; what it lacked stands in the same line."""
    (_log.warning if context.failure else _log.info)(
        "request_finished",
        method=scope["method"],
        path=_clean(scope["path"][:_LOGGED_PATH]),
        status=status,
        duration_ms=round(seconds * 1000, 3),
        **context.failure,
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


def _open_context(scope: Scope) -> RequestContext:
    """Return the context that the connection has given to a request, with its id and its trace."""
    context: RequestContext | None = scope.get(REQUEST)
    if context is None:  # Another server than ours.
        context = scope[REQUEST] = RequestContext(
            Place(scope["app"].parts[RequestGate], "arriving")
        )
    # A pipelined request is begun by the one before it, in whose context it then runs.
    TRACE_ID.set(None)
    for name, value in scope["headers"]:
        if name == _HEADER:
            if not context.id and _ACCEPTED.fullmatch(value):
                context.id = value.decode()
        elif name == TRACEPARENT:
            bind_trace(scope["headers"])
    context.id = context.id or os.urandom(16).hex()
    return context
