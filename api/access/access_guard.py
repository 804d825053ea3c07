"""Lets a request through to its route, or says why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from starlette.types import Scope as AsgiScope

from api.access.caller import ANYBODY, Caller
from api.access.key_ring import KeyRing
from api.access.request_limits import RequestLimits
from api.access.route_access import RouteAccess
from zeroskew.contract.errors.access import ForbiddenError, UnauthenticatedError
from zeroskew.contract.scope import Scope

if TYPE_CHECKING:
    from api.access.oidc_tokens import OidcTokens

__all__ = ["AccessGuard"]

LimitHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]

_STRANGER: Final = Caller("", "", frozenset(), sees_models=False)
"""Whoever comes without a key where keys are asked for."""

_REALM: Final = 'Bearer realm="zeroskew"'


class AccessGuard:
    """Finds who asks, and holds that against what the route declares.

    Parameters
    ----------
    keys
        The valid keys; ``None`` asks for none.
    tokens
        Knows tokens of an identity provider, where there is one.
    limiter
        Counts requests.
    """

    def __init__(
        self,
        keys: KeyRing | None = None,
        *,
        tokens: OidcTokens | None = None,
        limiter: RequestLimits | None = None,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._limiter = limiter

    @property
    def n_keys(self) -> int:
        """How many keys are valid."""
        return 0 if self._keys is None else len(self._keys)

    @property
    def is_limit_store_down(self) -> bool:
        """Whether requests are to be counted for all replicas and cannot be."""
        return self._limiter is not None and self._limiter.is_store_down

    @property
    def n_limited(self) -> Mapping[str, int]:
        """How many requests were refused by each bound, ``second`` and ``day``."""
        return {} if self._limiter is None else self._limiter.n_limited

    async def admit(self, scope: AsgiScope, access: RouteAccess) -> tuple[Caller, LimitHeaders]:
        """Return the caller of a request, and what its answer tells of its limits; or refuse it.

        Raises
        ------
        UnauthenticatedError
            If it has no valid key where one is needed, or an invalid one.
        ForbiddenError
            If its key does not open this route.
        UnknownModelError
            If its address names a model of another tenant.
        RateLimitedError
            If its key has made more requests than it may.
        LimitsUnavailableError
            If requests cannot be counted, and nobody is let through then.
        """
        caller = ANYBODY
        if self._keys is not None:
            caller = await self._identify(scope, self._keys)
            _check_access(caller, access, scope)
        limiter = self._limiter
        if limiter is None or access.kind == "anyone":
            return caller, ()
        if not (caller.is_limited or limiter.limits_everybody):
            return caller, ()
        told = await limiter.admit(caller)
        return caller, [(name.lower().encode(), value.encode()) for name, value in told.items()]

    async def _identify(self, scope: AsgiScope, keys: KeyRing) -> Caller:
        text = _read_credential(scope)
        if text is None:
            return _STRANGER
        caller = keys.find(text)
        if caller is None and self._tokens is not None:
            caller = await self._tokens.find(text)
        if caller is None:
            raise UnauthenticatedError(
                "Got a key or token that is not valid here, but expected one that is.",
                {"WWW-Authenticate": f'{_REALM}, error="invalid_token"'},
            )
        return caller


def _check_access(caller: Caller, access: RouteAccess, scope: AsgiScope) -> None:
    if access.kind == "anyone":
        return
    if caller is _STRANGER:
        raise UnauthenticatedError(
            "Got no key, but expected one in the header Authorization, as `Bearer zsk_…`.",
            {"WWW-Authenticate": _REALM},
        )
    if access.scope is not None and access.scope not in caller.scopes:
        challenge = f'{_REALM}, error="insufficient_scope", scope="{access.scope}"'
        raise ForbiddenError(
            f"Got a key without the scope {access.scope}, but expected one with it.",
            {"WWW-Authenticate": challenge},
        )
    if caller.tenant is not None and not access.is_for_tenants:
        raise ForbiddenError(
            "Got a key that belongs to a tenant, but expected one that does not: what is here "
            "belongs to all.",
            {},
        )
    model = scope.get("path_params", {}).get("model")
    if model is None or caller.tenant is None:
        return
    caller.check(model)
    if access.scope is Scope.MODELS_MANAGE and not caller.owns(model):
        raise ForbiddenError("Got a key of a tenant, but expected the model to be its own.", {})


def _read_credential(scope: AsgiScope) -> str | None:
    """Return the bearer token, or the key in ``X-API-Key``; the last one where there are several.

    What is not ASCII is no key, and is kept as something that is not valid.
    """
    found = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, rest = value.partition(b" ")
            found = rest.strip() if kind.lower() == b"bearer" else b"?"
        elif name == b"x-api-key":
            found = value.strip()
    return None if found is None else found.decode("ascii", "replace")
