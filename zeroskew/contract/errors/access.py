"""What can be wrong with who asks.

::

    ServiceError
    ├── AccessError
    │   ├── UnauthenticatedError     no key, or none that is valid
    │   ├── ForbiddenError           the key does not let its bearer do that
    │   ├── CrossSiteError           a page of another origin wants to change something
    │   ├── UnknownHostError         the request was meant for a host of another name
    │   └── RateLimitedError         the key has made more requests than it may
    ├── UnavailableError
    │   └── LimitsUnavailableError   requests cannot be counted
    ├── NoKeysError                  the service is to ask for keys, and does not start
    └── NotFoundError
        └── UnknownKeyError
"""

from __future__ import annotations

from collections.abc import Mapping

from zeroskew.contract.errors.not_found import NotFoundError
from zeroskew.contract.errors.service import ServiceError, UnavailableError

__all__ = [
    "AccessError",
    "CrossSiteError",
    "ForbiddenError",
    "LimitsUnavailableError",
    "NoKeysError",
    "RateLimitedError",
    "UnauthenticatedError",
    "UnknownHostError",
    "UnknownKeyError",
]


class AccessError(ServiceError):
    """Who asks may not; ``headers`` tell a client what would help."""

    code = "access_refused"

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.headers = headers


class UnauthenticatedError(AccessError):
    """The request has no key, or none that is valid."""

    code = "unauthenticated"


class ForbiddenError(AccessError):
    """The request's key does not let its bearer do that."""

    code = "forbidden"


class CrossSiteError(AccessError):
    """A page of another origin asks for more than a look."""

    code = "cross_site_request"


class UnknownHostError(AccessError):
    """The request names a host that the service is not."""

    code = "unknown_host"


class RateLimitedError(AccessError):
    """The request's key has made more requests than it may."""

    code = "rate_limited"


class LimitsUnavailableError(UnavailableError):
    """Requests cannot be counted, and the service lets nobody through then."""

    code = "limits_unavailable"


class NoKeysError(ServiceError):
    """The service is to ask for keys, and there are none."""

    code = "no_keys"


class UnknownKeyError(NotFoundError):
    """No key has that id."""

    code = "unknown_key"
