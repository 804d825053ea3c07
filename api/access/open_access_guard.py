"""From the settings to the guard."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import structlog

from api.access.access_guard import AccessGuard
from api.access.allowances import Allowances, AllowanceStore, LocalAllowances
from api.access.key_ring import KeyRing
from api.access.request_limits import RequestLimits
from zeroskew.contract.errors.access import NoKeysError
from zeroskew.contract.settings import Settings
from zeroskew.records.access.open_access import open_access
from zeroskew.records.background_work import BackgroundTask, BackgroundWork
from zeroskew.records.blocking_calls import BlockingCalls
from zeroskew.records.registry.registry_executor import RegistryExecutor

if TYPE_CHECKING:
    from api.access.oidc_tokens import OidcTokens

__all__ = ["open_access_guard"]

_log: Final = structlog.get_logger(__name__)


async def open_access_guard(
    settings: Settings,
    calls: BlockingCalls,
    work: BackgroundWork,
    stack: AsyncExitStack,
) -> AccessGuard:
    """Return the guard that the settings ask for; `stack` closes what it opened.

    Raises
    ------
    NoKeysError
        If keys are asked for, there is no valid one, and no identity provider either: nobody
        could use the service.
    RegistryUnavailableError
        If the keys cannot be read.
    """
    if not settings.asks_for_keys:
        _log.warning("keys_not_required", host=settings.host, who="anybody on this machine")
        return AccessGuard()
    reader = open_access(settings.database_url, busy_timeout_sec=settings.registry_timeout_sec)
    stack.callback(reader.close)
    executor = RegistryExecutor(calls, failures=reader.failures, subject="The table of keys")
    keys = KeyRing(reader=reader, executor=executor)
    await keys.start()
    if not len(keys) and settings.oidc_issuer is None:
        raise NoKeysError(
            "Got no valid API key in the database, but expected one, since the service asks for "
            "keys; `zeroskew keys create NAME --scope predict` makes one."
        )
    stack.push_async_callback(keys.close)
    following = BackgroundTask("keys", keys.follow, every_sec=settings.registry_poll_sec)
    stack.push_async_callback(following.close)
    work.watch("keys", following)
    limiter = _open_limits(settings)
    stack.push_async_callback(limiter.close)
    return AccessGuard(
        keys, tokens=await _open_tokens(settings, keys, work, stack), limiter=limiter
    )


def _open_limits(settings: Settings) -> RequestLimits:
    share = 1 / settings.workers
    return RequestLimits(
        _open_allowances(settings, share),
        default=Allowances(settings.requests_per_sec, settings.requests_per_day),
        when_down=settings.rate_limit_when_down,
        share=share,
    )


def _open_allowances(settings: Settings, share: float) -> AllowanceStore:
    if settings.rate_limit_store is None:
        return LocalAllowances(share=share)
    # Imported where it is needed: a service without Redis starts without its client.
    from api.access.redis_allowances import RedisAllowances

    return RedisAllowances(settings.rate_limit_store, timeout_sec=settings.rate_limit_timeout_sec)


async def _open_tokens(
    settings: Settings, keys: KeyRing, work: BackgroundWork, stack: AsyncExitStack
) -> OidcTokens | None:
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    # Imported where it is needed: a service with keys alone starts without it.
    from api.access.oidc_tokens import REFRESH_SEC, OidcProvider, OidcTokens, fetch_json

    executor = ThreadPoolExecutor(1, thread_name_prefix="oidc")
    stack.callback(executor.shutdown)
    tokens = OidcTokens(
        OidcProvider(
            settings.oidc_issuer,
            settings.oidc_audience,
            scope_claim=settings.oidc_scope_claim,
            tenant_claim=settings.oidc_tenant_claim,
        ),
        tenants=lambda: keys.tenants,
        executor=executor,
        fetch=fetch_json,
    )
    await tokens.refresh()
    following = BackgroundTask("oidc", tokens.refresh, every_sec=REFRESH_SEC)
    stack.push_async_callback(following.close)
    work.watch("oidc", following)
    return tokens
