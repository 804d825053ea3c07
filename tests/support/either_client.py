"""Both clients behind one blocking face, so that one test holds for the two."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, Self

from anyio.from_thread import start_blocking_portal

from zeroskew_client import AsyncZeroskewClient, RetryPolicy, ZeroskewClient

__all__ = ["FAST", "KINDS", "EitherClient"]

KINDS: Final = ("blocking", "asyncio")
FAST: Final = RetryPolicy(attempts=3, base_sec=0.001, cap_sec=0.001)
"""Three attempts with hardly a pause between them."""


class EitherClient:
    """The client of one of the `KINDS`; ``options`` are its own, with `FAST` retries."""

    def __init__(self, kind: str, base_url: str, **options: Any) -> None:
        self._kind = kind
        self._base_url = base_url
        self._options = {"retries": FAST} | options
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._kind == "blocking":
            self._client: Any = ZeroskewClient(self._base_url, **self._options)
            self._stack.enter_context(self._client)
            self._run: Callable[[Callable[[], Any]], Any] = lambda function: function()
        else:
            portal = self._stack.enter_context(start_blocking_portal())
            self._client = AsyncZeroskewClient(self._base_url, **self._options)
            self._stack.enter_context(portal.wrap_async_context_manager(self._client))
            self._run = portal.call
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the client and return its result."""
        return self._run(partial(getattr(self._client, method), *arguments, **options))
