"""Which pages may call the service from a browser: its own, and those of the origins that are set.

A browser lets any page send requests to any address, and only keeps the answer from it. So a page
that somebody opens could change what a service on his machine serves. Every browser tells where a
request comes from, in ``Sec-Fetch-Site`` where the address is one that it trusts, and in
``Origin``; a program tells neither, and has no other site's page in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from zeroskew.contract.errors.access import CrossSiteError, UnknownHostError
from zeroskew.contract.errors.service import ServiceError

__all__ = ["SiteGuard", "guard_sites"]

_ASKED: Final = (
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Inference-Header-Content-Length",
    "X-Request-ID",
    "traceparent",
)
_ANSWERED: Final = (
    "Allow",
    "Deprecation",
    "ETag",
    "Inference-Header-Content-Length",
    "Retry-After",
    "Sunset",
    "X-Request-ID",
    "Zeroskew-Degraded",
)
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods by which nothing changes."""

_OWN_SITES: Final = (b"same-origin", b"none")
"""A page of this very origin; and a person, by the address bar or a bookmark."""

_SHOWN: Final = 100

AnswerError = Callable[[Request, ServiceError], Response]


def guard_sites(
    app: ASGIApp,
    *,
    origins: Collection[str],
    hosts: Collection[str] | None,
    is_loopback: bool,
    answer_error: AnswerError,
) -> ASGIApp:
    """Let pages of `origins` call `app`, and keep other sites' from writing; see `SiteGuard`.

    Cookies and other credentials are not let through; the service has no use for them.
    """
    guarded = SiteGuard(
        app, origins=origins, hosts=hosts, is_loopback=is_loopback, answer_error=answer_error
    )
    if not origins:
        return guarded
    return CORSMiddleware(
        guarded,
        allow_origins=tuple(origins),
        allow_methods=("GET", "HEAD", "POST", "PUT", "DELETE"),
        allow_headers=_ASKED,
        expose_headers=_ANSWERED,
    )


class SiteGuard:
    """Refuses what a page of another site could do by the browser of somebody who may.

    Parameters
    ----------
    app
        What is guarded.
    origins
        The origins whose pages may write, or ``*``.
    hosts
        The names by which the service may be called, ``None`` for any. A page can have its own
        name lead to this machine (DNS rebinding): to the browser it is then of one origin with the
        service, and only the name tells.
    is_loopback
        Whether the names of this machine are among them.
    answer_error
        Answers the service's own errors.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        origins: Collection[str],
        hosts: Collection[str] | None,
        is_loopback: bool,
        answer_error: AnswerError,
    ) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._hosts = hosts
        self._is_loopback = is_loopback
        self._answer_error = answer_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except ServiceError as error:
                answer = self._answer_error(Request(scope, receive, send), error)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        is_safe = scope["method"] in _SAFE
        if is_safe and self._hosts is None:
            return
        host, origin, site = b"", None, None
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        if self._hosts is not None and host:
            self._check_host(host.decode("latin-1"))
        if not is_safe and (origin is not None or site is not None):
            self._check_site(host, origin, site)

    def _check_host(self, host: str) -> None:
        name = _name_of(host)
        assert self._hosts is not None
        if name in self._hosts or (self._is_loopback and _is_of_this_machine(name)):
            return
        known = ", ".join([*(["localhost"] if self._is_loopback else []), *sorted(self._hosts)])
        raise UnknownHostError(
            f"Got a request for the host {host[:_SHOWN]!r}, but expected {known[:_SHOWN]}; "
            "ZEROSKEW_ALLOWED_HOSTS names others.",
            {},
        )

    def _check_site(self, host: bytes, origin: bytes | None, site: bytes | None) -> None:
        given = None if origin is None else origin.decode("latin-1")
        if "*" in self._origins or given in self._origins:
            return
        if site is not None:
            is_own = site in _OWN_SITES
        else:
            # A browser sends no `Sec-Fetch-Site` where the address is neither https nor loopback.
            own = host.decode("latin-1").lower()
            is_own = bool(own) and given is not None and _authority_of(given) == own
        if not is_own:
            raise CrossSiteError(
                f"Got a change asked for by a page of {(given or 'another site')[:_SHOWN]}, but "
                "expected one of the service's own; ZEROSKEW_CORS_ORIGINS names others.",
                {},
            )


def _authority_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name_of(host: str) -> str:
    """Return a host's name or address without its port.

    >>> _name_of("LocalHost.:8000"), _name_of("[::1]:8000"), _name_of("127.0.0.1")
    ('localhost', '::1', '127.0.0.1')
    """
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().removesuffix(".")


@lru_cache(maxsize=64)
def _is_of_this_machine(name: str) -> bool:
    """Tell whether a name leads here wherever it is looked up.

    >>> [_is_of_this_machine(name) for name in ("a.localhost", "127.1.2.3", "0.0.0.0", "a.org")]
    [True, True, False, False]
    """
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
