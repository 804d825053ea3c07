"""Asks sentinels for the primary server, each time a connection to it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from zeroskew.contract.errors.service import OnlineStoreUnavailableError
from zeroskew.online.redis.address import RedisAddress
from zeroskew.online.redis.connection import RedisConnection

__all__ = ["SentinelEndpoint"]

# A sentinel that is down must leave time to ask the next one.
_SENTINEL_TIMEOUT_SEC: Final = 0.1


class SentinelEndpoint:
    """The server that sentinels call the primary one at the moment.

    Parameters
    ----------
    address
        Their address, of kind ``sentinel``.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self.login = address.login
        self._options: dict[str, Any] = {
            "username": address.sentinel_username,
            "password": address.sentinel_password,
            "socket_timeout": _SENTINEL_TIMEOUT_SEC,
            "socket_connect_timeout": _SENTINEL_TIMEOUT_SEC,
            "retry": Retry(NoBackoff(), 0),
            **address.client_tls,
        }

    async def open(self, make_connection: Callable[[], RedisConnection]) -> None:
        """Open a transport to the primary server.

        Raises
        ------
        OnlineStoreUnavailableError
            If no sentinel knows one.
        """
        host, port = await self._find_primary()
        loop = asyncio.get_running_loop()
        await loop.create_connection(make_connection, host, port, ssl=self._address.tls)

    def accepts(self, role: str) -> bool:
        """Take the primary only: after a failover the former one may still answer."""
        return role == "master"

    async def _find_primary(self) -> tuple[str, int]:
        sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
            list(self._address.servers), sentinel_kwargs=self._options
        )
        try:
            host, port = await sentinel.discover_master(self._address.master or "")
        except RedisError as error:
            raise OnlineStoreUnavailableError(
                "The online store has no primary server at the moment."
            ) from error
        else:
            return str(host), int(port)
        finally:
            await asyncio.gather(*(client.aclose() for client in sentinel.sentinels))
