"""HEAD wherever there is GET, OPTIONS everywhere, and which methods an address has."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HeadAndOptionsMiddleware", "allowed_methods"]

_ROUTED: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")


def allowed_methods(scope: Scope) -> list[str]:
    """Return the methods that the address of a request has, sorted; empty for an unknown one.

    Every route is asked, since one address may have a route for each of its methods.
    """
    routes = scope["app"].router.routes
    root_path = scope.get("app_root_path", scope.get("root_path", ""))  # the former in a mount
    address = {"type": scope["type"], "path": scope["path"], "root_path": root_path, "headers": []}
    allowed = {
        method
        for method in _ROUTED
        for route in routes
        # A folder of static files says that it matches every method, but it has only one.
        if (method == "GET" or not isinstance(route, Mount))
        and route.matches({**address, "method": method})[0] is Match.FULL
    }
    if "GET" in allowed:
        allowed.add("HEAD")
    return sorted(allowed | {"OPTIONS"}) if allowed else []


class HeadAndOptionsMiddleware:
    """Answers HEAD as GET without its body, and OPTIONS with the methods of the address.

    FastAPI's routes know neither. Every other method passes through untouched.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        method = scope.get("method")
        if method == "HEAD":
            await self._answer_head(scope, receive, send)
        elif method == "OPTIONS" and (allowed := allowed_methods(scope)):
            answer = Response(status_code=204, headers={"Allow": ", ".join(allowed)})
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer_head(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send_without_body)
        finally:
            if "route" in asked:
                # By which the metrics count it.
                scope["route"] = asked["route"]
