"""Bearer tokens of an identity provider (OpenID Connect), checked against its public keys."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import jwt
import structlog

from api.access.caller import Caller
from zeroskew.contract.scope import TENANT_PATTERN, Scope

__all__ = ["REFRESH_SEC", "OidcProvider", "OidcTokens", "fetch_json"]

# Only asymmetric ones: a public key is no secret that could sign.
_ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
_LEEWAY_SEC: Final = 30
REFRESH_SEC: Final = 600.0
"""How long the provider's keys are taken for the newest."""

_UNKNOWN_KEY_SEC: Final = 10.0
_REMEMBER_SEC: Final = 60.0
_MAX_REMEMBERED: Final = 4096
_MAX_TOKEN: Final = 8192
_MAX_DOCUMENT: Final = 1024 * 1024
_TIMEOUT_SEC: Final = 5.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_log: Final = structlog.get_logger(__name__)


class OidcProvider(NamedTuple):
    """Whose tokens are taken, and what is read in them.

    ``issuer`` and ``audience`` must be those of the token. ``scope_claim`` is a list or a text
    with spaces; what is no scope of ours is left out. With ``tenant_claim`` a token without a
    valid tenant is refused; without it tokens have none, and reach the models of all.
    """

    issuer: str
    audience: str
    scope_claim: str = "scope"
    tenant_claim: str | None = None


class _Known(NamedTuple):
    caller: Caller
    until: float


class OidcTokens:
    """Checks tokens by the provider's keys, which are read now and then and kept meanwhile.

    Where the keys are comes from the provider's own description, never from a token.

    Parameters
    ----------
    provider
        Whose tokens are taken.
    tenants
        Returns the tenant of each model that has one, at this moment.
    executor
        Fetches beside the event loop.
    fetch
        Returns the JSON object at an address.
    """

    def __init__(
        self,
        provider: OidcProvider,
        *,
        tenants: Callable[[], Mapping[str, str]],
        executor: Executor,
        fetch: Callable[[str], Mapping[str, Any]],
    ) -> None:
        self._provider = provider
        self._tenants = tenants
        self._executor = executor
        self._fetch = fetch
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = -REFRESH_SEC
        self._reading = asyncio.Lock()
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def find(self, text: str) -> Caller | None:
        """Return whose token `text` is, or ``None`` where it is not valid."""
        if len(text) > _MAX_TOKEN or text.count(".") != 2:
            return None
        digest = hashlib.sha256(text.encode()).digest()
        known = self._known.get(digest)
        if known is None or known.until <= time.time():
            known = await self._check(text)
            if known is None:
                return None
            self._known[digest] = known
            if len(self._known) > _MAX_REMEMBERED:
                self._known.popitem(last=False)
        return replace(known.caller, tenants=self._tenants())

    async def refresh(self) -> None:
        """Read the provider's keys; where they cannot be read, those that were go on."""
        async with self._reading:
            if time.monotonic() - self._read_at < _UNKNOWN_KEY_SEC:
                return
            self._read_at = time.monotonic()
            loop = asyncio.get_running_loop()
            try:
                self._keys = await loop.run_in_executor(self._executor, self._read_keys)
            except Exception as error:
                # A provider may answer anything, and the keys that were go on whatever it is.
                _log.warning("oidc_keys_not_read", issuer=self._provider.issuer, reason=repr(error))
                return
            self._known.clear()

    def _read_keys(self) -> dict[str, jwt.PyJWK]:
        issuer = self._provider.issuer
        described = self._fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if described["issuer"] != issuer:
            raise ValueError("The provider's description is of another issuer.")
        return _index(self._fetch(described["jwks_uri"])["keys"])

    async def _check(self, text: str) -> _Known | None:
        try:
            key_id = jwt.get_unverified_header(text).get("kid")
            key = self._keys.get(key_id) if isinstance(key_id, str) else None
            if key is None:
                await self.refresh()
                key = self._keys.get(key_id) if isinstance(key_id, str) else None
            if key is None:
                return None
            claims = jwt.decode(
                text,
                key,
                algorithms=[key.algorithm_name],
                audience=self._provider.audience,
                issuer=self._provider.issuer,
                leeway=_LEEWAY_SEC,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError) as error:
            _log.info("oidc_token_refused", reason=type(error).__name__)
            return None
        caller = _read_caller(claims, self._provider)
        if caller is None:
            _log.info("oidc_token_refused", reason="no valid tenant, subject or end")
            return None
        return _Known(caller, min(claims["exp"] + _LEEWAY_SEC, time.time() + _REMEMBER_SEC))


def _index(documents: Any) -> dict[str, jwt.PyJWK]:
    found = {}
    for document in documents:
        if document.get("use", "sig") != "sig" or "kid" not in document:
            continue
        try:
            key = jwt.PyJWK.from_dict(document)
        except jwt.PyJWTError:
            continue  # Of a kind that is not known here; the others may be.
        if key.algorithm_name in _ALGORITHMS:
            found[document["kid"]] = key
    if not found:
        raise ValueError("The provider has no key that signs by an algorithm known here.")
    return found


def _read_caller(claims: Mapping[str, Any], provider: OidcProvider) -> Caller | None:
    given = claims.get(provider.scope_claim, ())
    words = given.split() if isinstance(given, str) else given
    if not isinstance(words, list | tuple) or not isinstance(claims["sub"], str):
        return None
    if not isinstance(claims["exp"], int | float):  # PyJWT takes a text for a number, too.
        return None
    tenant = None
    if provider.tenant_claim is not None:
        tenant = claims.get(provider.tenant_claim)
        if not isinstance(tenant, str) or re.fullmatch(TENANT_PATTERN, tenant) is None:
            return None
    # A subject may be a person: log and history get a digest of it.
    digest = hashlib.sha256(f"{provider.issuer}\n{claims['sub']}".encode()).hexdigest()[:16]
    return Caller(
        id=f"oidc_{digest}",
        name="oidc",
        scopes=frozenset(scope for scope in Scope if str(scope) in words),
        tenant=tenant,
    )


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def fetch_json(url: str) -> Mapping[str, Any]:
    """Return the JSON object at an address of the provider's.

    Raises
    ------
    OSError
        If it cannot be read in time.
    ValueError
        If the address is not one of HTTPS (or of this machine), or if it has no JSON.
    TypeError
        If the JSON is no object.
    """
    parts = urlsplit(url)
    is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if parts.scheme != "https" and not is_local:
        raise ValueError(f"Got the address {url!r}, but expected one with https.")
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 - checked above
    with build_opener(_NoRedirect).open(request, timeout=_TIMEOUT_SEC) as response:
        content = response.read(_MAX_DOCUMENT + 1)
    if len(content) > _MAX_DOCUMENT:
        raise ValueError(f"Got more than {_MAX_DOCUMENT} bytes from {url!r}.")
    document = json.loads(content)
    if not isinstance(document, dict):
        raise TypeError(f"Got no JSON object from {url!r}.")
    return document
