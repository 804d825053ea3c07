"""What an online store is called, without its passwords, so that two can be compared."""

from __future__ import annotations

from pathlib import Path

__all__ = ["name_online_store", "name_redis"]

_SQLITE = "sqlite:///"


def name_online_store(url: str) -> str:
    """Return the name of the store at an address that `zeroskew.online.open_reader` takes.

    >>> name_online_store("rediss://user:secret@redis.example:7000/1?ssl_cert_reqs=none")
    'redis://redis.example:7000'
    """
    if url.startswith(_SQLITE):
        return f"{_SQLITE}{Path(url.removeprefix(_SQLITE)).resolve()}"
    scheme, _, rest = url.partition("://")
    place = rest.partition("?")[0].rpartition("@")[2]
    if scheme == "unix" or "redis" not in scheme:
        return f"{scheme}://{place}"
    return name_redis(place.partition("/")[0].split(","))


def name_redis(servers: list[str]) -> str:
    """Return the name of a Redis, or of several nodes, by ``host:port``.

    >>> name_redis(["localhost", "b:7001"])
    'redis://127.0.0.1:6379,b:7001'
    """
    found = []
    for server in servers:
        host, colon, port = server.rpartition(":")
        if not colon:
            host, port = server, "6379"
        host = "127.0.0.1" if host in {"localhost", "::1", "[::1]"} else host
        found.append(f"{host}:{port}")
    return f"redis://{','.join(sorted(found))}"
