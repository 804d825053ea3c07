"""Redis' own client for what is not a read of a request: writes, and what commands do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from zeroskew.contract.errors.sentences import first_line
from zeroskew.online.redis.address import RedisAddress

__all__ = ["FAILURES", "Client", "open_client", "ping_server", "run_commands"]

_MAX_CONNECTIONS: Final = 4
Client: TypeAlias = Any
"""A client of one server or of a cluster; redis-py types their pipelines differently."""
FAILURES: Final = (RedisError, RedisClusterException, OSError)
"""What a client raises; redis-py's error of a cluster without nodes is none of its others."""

_Answer = TypeVar("_Answer")


def run_commands(
    address: RedisAddress, work: Callable[[Client], Awaitable[_Answer]], *, timeout_sec: float
) -> _Answer:
    """Do some work with a client of its own and wait for it; for a command, not the service.

    Raises
    ------
    Exception
        One of `FAILURES`, if the server does not answer, or refuses.
    """

    async def run() -> _Answer:
        client, closers = open_client(address, timeout_sec=timeout_sec)
        try:
            return await work(client)
        finally:
            for close in closers:
                await close()

    return asyncio.run(run())


def ping_server(address: RedisAddress, *, timeout_sec: float) -> str | None:
    """Say why a server does not answer; ``None`` if it does."""
    try:
        run_commands(address, lambda client: client.ping(), timeout_sec=timeout_sec)
    except FAILURES as error:
        return (
            f"Got no answer ({first_line(error)}), but expected a Redis that can be reached; start "
            "it first"
        )
    return None


def open_client(
    address: RedisAddress, *, timeout_sec: float
) -> tuple[Client, list[Callable[[], Any]]]:
    """Return a client that connects when it is first used, and what closes it.

    Parameters
    ----------
    address
        The address of the store: a server, a cluster, or the sentinels of a server.
    timeout_sec
        How long it waits for a connection and for each reply.
    """
    options: dict[str, Any] = {
        "username": address.username,
        "password": address.password,
        "socket_timeout": timeout_sec,
        "socket_connect_timeout": timeout_sec,
        "retry": Retry(NoBackoff(), 0),
    }
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.servers]
        cluster = RedisCluster(startup_nodes=nodes, **options, **address.client_tls)
        return cluster, [cluster.aclose]
    if address.kind == "sentinel":
        options |= address.client_tls
        asked = options | {
            "username": address.sentinel_username,
            "password": address.sentinel_password,
        }
        sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
            list(address.servers), sentinel_kwargs=asked, db=address.database, **options
        )
        primary = sentinel.master_for(address.master)
        return primary, [primary.aclose, *(one.aclose for one in sentinel.sentinels)]
    options["db"] = address.database
    client = Redis(connection_pool=_open_pool(address, options, timeout_sec))
    return client, [client.aclose, client.connection_pool.disconnect]


def _open_pool(
    address: RedisAddress, options: dict[str, Any], timeout_sec: float
) -> BlockingConnectionPool:
    if address.path is not None:
        options |= {"connection_class": UnixDomainSocketConnection, "path": address.path}
    else:
        [(host, port)] = address.servers
        options |= {"host": host, "port": port}
        if address.tls is not None:
            options |= {"connection_class": SSLConnection, **address.tls_options}
    return BlockingConnectionPool(_MAX_CONNECTIONS, timeout_sec, **options)
