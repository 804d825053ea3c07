"""A blocking client of an application in this process, with its lifespan running."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any, Self, TypeVar

import httpx
from anyio.from_thread import start_blocking_portal

from api.http.application import Application
from tests.support.canaries import HEADERS, find_canaries

_Part = TypeVar("_Part")


class AppClient:
    """Sends requests over httpx's ASGI transport to an application in a thread's event loop.

    Each carries secrets, and no answer may hold one of them.
    """

    def __init__(self, app: Application) -> None:
        self.app = app
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        # A start that fails must not leave the portal's thread, for which Python waits at its end.
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            lifespan = self.app.router.lifespan_context(self.app)
            stack.enter_context(self._portal.wrap_async_context_manager(lifespan))
            self._stack = stack.pop_all()
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://localhost",
            headers={"Accept": "application/problem+json, */*", **HEADERS},
        )
        self._client = self._stack.enter_context(self._portal.wrap_async_context_manager(client))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def part(self, kind: type[_Part]) -> _Part:
        """Return the part of the service that is of a type."""
        found: _Part = self.app.parts[kind]
        return found

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Send one request; ``options`` are httpx's.

        What is sent as bytes is called JSON where ``content-type`` is not among the headers, and
        nothing where that is empty.
        """
        if "content" in options:
            headers = httpx.Headers({"content-type": "application/json"})
            headers.update(options.get("headers", {}))
            if not headers["content-type"]:
                del headers["content-type"]
            options["headers"] = headers
        answer = self._portal.call(partial(self._client.request, method, url, **options))
        told = find_canaries(f"{answer.headers} {answer.content!r}")
        assert not told, f"{method} {url} answers with the secrets {told}"
        return answer

    def get(self, url: str, **options: Any) -> httpx.Response:
        """Send a GET."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> httpx.Response:
        """Send a POST."""
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Any) -> httpx.Response:
        """Send a PUT."""
        return self.request("PUT", url, **options)

    def delete(self, url: str, **options: Any) -> httpx.Response:
        """Send a DELETE."""
        return self.request("DELETE", url, **options)
