"""Which pages of other origins may call the service from a browser: none, unless set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

__all__ = ["allow_origins"]

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


def allow_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of `origins` call `app`; where there are none, return `app` itself.

    Cookies and other credentials are not let through; the service has no use for them.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "HEAD", "POST", "PUT", "DELETE"),
        allow_headers=_ASKED,
        expose_headers=_ANSWERED,
    )
