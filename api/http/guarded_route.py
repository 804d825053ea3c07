"""Routes that look at who asks and for what, some of them without solving dependencies."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import cached_property, partial
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.datastructures import Default, DefaultPlaceholder
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from api.access.route_access import access_of, describe_security
from api.http.request_body import DocumentBody
from zeroskew.contract.errors.service import InvalidRequestError

__all__ = ["DirectRoute", "GuardedRoute"]

_SHOWN: Final = 64


class GuardedRoute(APIRoute):
    """Lets a request through whose caller may do what the endpoint declares.

    OpenAPI tells what that is. A query may have the parameters that OpenAPI tells, and no others:
    one that is mistyped would do nothing, and nobody would know.

    A ``response_model`` is for OpenAPI alone, and is looked at when that is made: the endpoint
    returns a response itself. An endpoint that returns a model says so by its annotation.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        extra = describe_security(endpoint) | (options.pop("openapi_extra", None) or {})
        options["openapi_extra"] = extra
        self._describe = partial(APIRoute, path, endpoint, **options)
        is_said = not isinstance(options.get("response_model", Default(None)), DefaultPlaceholder)
        live = options | {"response_model": None} if is_said else options
        super().__init__(path, endpoint, **live)
        self.access = access_of(endpoint)
        """What it asks of its caller; the application refuses to start where that is unsaid."""
        for one in self.dependant.dependencies:
            if isinstance(one.call, DocumentBody):
                extra |= one.call.openapi_extra
        declared = extra.get("parameters", ())
        self._query_names = frozenset(
            [one["name"] for one in declared if one["in"] == "query"]
            + [
                one.alias
                for one in get_flat_params(self.dependant)
                if isinstance(one.field_info, Query)
            ]
        )

    @cached_property
    def described(self) -> APIRoute:
        """The route as OpenAPI describes it, with its response model."""
        return self._describe()

    def check_query(self, query: bytes) -> None:
        """Check that each parameter of a query has a meaning here.

        Raises
        ------
        InvalidRequestError
            If one has not, or is given twice.
        """
        names = [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
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
            await scope["app"].admit(scope, self)
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
        await scope["app"].admit(scope, self)
        request = Request(scope, receive, send)
        response = await self.endpoint(request=request, **scope["path_params"])
        await response(scope, receive, send)
