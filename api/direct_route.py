"""A route that hands the request over without solving dependencies."""

from __future__ import annotations

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

__all__ = ["DirectRoute"]


class DirectRoute(APIRoute):
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
        request = Request(scope, receive, send)
        response = await self.endpoint(request=request, **scope["path_params"])
        await response(scope, receive, send)
