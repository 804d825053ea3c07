"""What a route asks of its caller, said where the route is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from starlette.routing import BaseRoute, Mount, Route, Router

from zeroskew.contract.scope import Scope

__all__ = [
    "SECURITY_SCHEME",
    "RouteAccess",
    "access_of",
    "anyone",
    "describe_security",
    "list_routes",
    "needs",
    "require_declared",
    "with_key",
]

SECURITY_SCHEME: Final = "key"
"""The name by which OpenAPI's operations say that they need a key."""

_ATTRIBUTE: Final = "__zeroskew_access__"
_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class RouteAccess:
    """What a route asks.

    Parameters
    ----------
    kind
        ``anyone``: no key, though one is looked at; ``key``: any valid key; ``scope``: a key
        with the scope.
    scope
        That scope.
    is_for_tenants
        Whether a key that belongs to a tenant may use the route: not where it reaches what has
        no tenant.
    """

    kind: Literal["anyone", "key", "scope"]
    scope: Scope | None = None
    is_for_tenants: bool = True


def anyone(endpoint: _Endpoint) -> _Endpoint:
    """Declare a route that needs no key."""
    return _declare(endpoint, RouteAccess("anyone"))


def with_key(endpoint: _Endpoint) -> _Endpoint:
    """Declare a route that any valid key opens."""
    return _declare(endpoint, RouteAccess("key"))


def needs(scope: Scope, *, is_for_tenants: bool = True) -> Callable[[_Endpoint], _Endpoint]:
    """Declare a route that a key with `scope` opens."""

    def declare(endpoint: _Endpoint) -> _Endpoint:
        return _declare(endpoint, RouteAccess("scope", scope, is_for_tenants))

    return declare


def access_of(endpoint: Any) -> RouteAccess | None:
    """Return what was declared for an endpoint."""
    found: RouteAccess | None = getattr(endpoint, _ATTRIBUTE, None)
    return found


def describe_security(endpoint: Any) -> dict[str, Any]:
    """Return what OpenAPI tells of the access to an endpoint; nothing where none is declared."""
    access = access_of(endpoint)
    if access is None:
        return {}
    if access.kind == "anyone":
        return {"security": []}
    return {"security": [{SECURITY_SCHEME: [] if access.scope is None else [str(access.scope)]}]}


def list_routes(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Yield routes, and those of routers that are included among them, in order."""
    for route in routes:
        # FastAPI keeps an included router as one route, which is of a class without a public name.
        included = getattr(route, "original_router", None)
        if isinstance(included, Router):
            yield from list_routes(included.routes)
        else:
            yield route


def require_declared(
    routes: Iterable[BaseRoute], guarded: type[Route], *, open_mounts: frozenset[str]
) -> None:
    """Refuse to start with a route that nobody has thought about.

    Parameters
    ----------
    routes
        The application's.
    guarded
        The class of routes that look at what is declared.
    open_mounts
        The paths of mounted applications that need no key.

    Raises
    ------
    RuntimeError
        If a route declares nothing, or is of a class that would not look at it.
    """
    for route in list_routes(routes):
        if isinstance(route, Mount) and route.path in open_mounts:
            continue
        path = getattr(route, "path", repr(route))
        if not isinstance(route, guarded):
            raise RuntimeError(f"Got the route {path}, but expected a {guarded.__name__}.")  # noqa: TRY004 - it is no argument's type
        if access_of(route.endpoint) is None:
            raise RuntimeError(f"Got the route {path} without a scope, but expected one declared.")


def _declare(endpoint: _Endpoint, access: RouteAccess) -> _Endpoint:
    setattr(endpoint, _ATTRIBUTE, access)
    return endpoint
