"""What is known of one request beside what it sent: its place, its id, its caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.types import Scope

from api.access.caller import ANYBODY, Caller
from api.http.gate import Place

__all__ = ["REQUEST", "Context", "RequestContext", "context_of"]

REQUEST: Final = "zeroskew.request"
"""Where a connection's scope has the request's `RequestContext`."""


@dataclass(slots=True)
class RequestContext:
    """One request from its place at the gate to its answer.

    Parameters
    ----------
    place
        Its place among those that are answered.
    id
        Its id, the caller's own or one made for it.
    caller
        Who asks; anybody, until the route has let the request in.
    limit_headers
        What its answer tells of the caller's limits.
    failure
        What was away and kept it from an answer, for its log line.
    """

    place: Place
    id: str = ""
    caller: Caller = ANYBODY
    limit_headers: Sequence[tuple[bytes, bytes]] = ()
    failure: Mapping[str, str] = field(default_factory=dict)


def context_of(scope: Scope) -> RequestContext:
    """Return what is known of a request."""
    context: RequestContext = scope[REQUEST]
    return context


async def _find_context(request: Request) -> RequestContext:
    return context_of(request.scope)


Context = Annotated[RequestContext, Depends(_find_context)]
"""What gives a route the context of its request."""
