"""Routes that look at who asks and for what, some without solving dependencies, a short way too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access.route_access import describe_security
from zeroskew.contract.errors.service import InvalidRequestError, ServiceError

__all__ = ["DirectRoute", "DirectWay", "GuardedRoute"]

_SHOWN: Final = 64


class GuardedRoute(APIRoute):
    """Lets a request through whose caller may do what the endpoint declares.

    OpenAPI tells what that is. A query may have the parameters that OpenAPI tells, and no others:
    one that is mistyped would do nothing, and nobody would know.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        extra = describe_security(endpoint) | (options.pop("openapi_extra", None) or {})
        super().__init__(path, endpoint, openapi_extra=extra, **options)
        declared = extra.get("parameters", ())
        self._query_names = frozenset(
            [one["name"] for one in declared if one["in"] == "query"]
            + [
                one.alias
                for one in get_flat_params(self.dependant)
                if isinstance(one.field_info, Query)
            ]
        )

    async def admit(self, scope: Scope) -> None:
        """Check who asks, and that each parameter of the query has a meaning here.

        Raises
        ------
        AccessError
            If the caller may not.
        InvalidRequestError
            If a parameter is unknown, or given twice.
        """
        await scope["app"].state.access.admit(scope, self.endpoint)
        if scope["query_string"]:
            self._check_query(scope["query_string"].decode("latin-1"))

    def _check_query(self, query: str) -> None:
        names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
        for name in names:
            if name not in self._query_names:
                near = get_close_matches(name[:_SHOWN], self._query_names, 1)
                expected = near or sorted(self._query_names)
                raise InvalidRequestError(
                    f"Got the unknown parameter {name[:_SHOWN]!r} in the query, but expected "
                    f"{', '.join(expected) or 'none'}."
                )
            if names.count(name) > 1:
                raise InvalidRequestError(
                    f"Got the parameter {name} twice in the query, but expected it once."
                )

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request whose path matches."""
        if scope["method"] in (self.methods or ()):
            await self.admit(scope)
        await super().handle(scope, receive, send)


class DirectRoute(GuardedRoute):
    """Calls its endpoint with the path's parameters as text, and with the request.

    The endpoint's signature is documented as any other's, but FastAPI neither validates its
    arguments nor opens exit stacks for dependencies: for a prediction that would be a third
    of the work. The endpoint is a coroutine function that returns a response; its errors
    reach the application's handlers as usual.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request whose path matches."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)  # It answers 405.
            return
        await self.admit(scope)
        request = Request(scope, receive, send)
        response = await self.endpoint(request=request, **scope["path_params"])
        await response(scope, receive, send)


class DirectWay:
    """Takes requests for direct routes past the application's middleware and router.

    Those are eight layers of which such a route needs one, the request's context, and each has
    a price for every request. Whatever is not a request for one of the routes goes the usual
    way.

    Parameters
    ----------
    usual_way
        The application with all its layers.
    routes
        The routes, in the order in which they are tried.
    add_context
        Puts the request's context around an application.
    answer_error
        Answers the errors of the service's own.
    """

    def __init__(
        self,
        usual_way: ASGIApp,
        *,
        routes: Sequence[BaseRoute],
        add_context: Callable[[ASGIApp], ASGIApp],
        answer_error: Callable[[Request, ServiceError], Response],
    ) -> None:
        self._usual_way = usual_way
        self._answer_in_context = add_context(self._answer)
        self._answer_error = answer_error
        self._routes = [
            (method, route.path_regex.match, route)
            for route in routes
            if isinstance(route, DirectRoute)
            for method in sorted(route.methods or ())
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http" and not scope.get("root_path"):
            path, method = scope["path"], scope["method"]
            for route_method, match, route in self._routes:
                if route_method == method and (found := match(path)) is not None:
                    scope["route"], scope["endpoint"] = route, route.endpoint
                    scope["path_params"] = found.groupdict()
                    await self._answer_in_context(scope, receive, send)
                    return
        await self._usual_way(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            await scope["route"].admit(scope)
            response = await scope["endpoint"](request=request, **scope["path_params"])
        except ServiceError as error:
            response = self._answer_error(request, error)
        await response(scope, receive, send)
