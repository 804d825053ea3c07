"""From the settings to the guard."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import structlog

from api.access.access_guard import AccessGuard
from api.access.key_ring import KeyRing
from api.access_errors import NoKeysError
from api.registry.open_registry import open_access
from api.registry.registry_executor import RegistryExecutor
from api.settings import Settings

__all__ = ["open_access_guard"]

_log = structlog.get_logger(__name__)


async def open_access_guard(
    settings: Settings, executor: RegistryExecutor, stack: AsyncExitStack
) -> AccessGuard:
    """Return the guard that the settings ask for; `stack` closes what it opened.

    Raises
    ------
    NoKeysError
        If keys are asked for and there is no valid one: nobody could use the service.
    RegistryUnavailableError
        If the keys cannot be read.
    """
    if not settings.asks_for_keys:
        _log.warning("keys_not_required", host=settings.host, who="anybody on this machine")
        return AccessGuard()
    reader = open_access(settings.database_url, busy_timeout_sec=settings.registry_timeout_sec)
    stack.callback(reader.close)
    keys = KeyRing(reader=reader, executor=executor, poll_sec=settings.registry_poll_sec)
    await keys.start()
    if not len(keys):
        raise NoKeysError(
            "Got no valid API key in the database, but expected one, since the service asks for "
            "keys; `zeroskew keys create NAME --scope predict` makes one."
        )
    following = asyncio.create_task(keys.follow())
    stack.push_async_callback(keys.close)
    stack.callback(following.cancel)
    return AccessGuard(keys)
