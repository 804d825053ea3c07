"""The online store in a Redis, a cluster of them, or one behind sentinels."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from zeroskew.contract.errors.service import NotSupportedError
from zeroskew.online.redis.address import TLS_OPTIONS, RedisAddress, parse_redis_url
from zeroskew.online.store import NOT_COPIED, EmptyCopy

if TYPE_CHECKING:
    from zeroskew.online.reader import OnlineFeatureReader
    from zeroskew.online.store import OnlineStore, StoredEntities
    from zeroskew.online.writer import OnlineFeatureWriter

# What speaks to a server is imported where it is needed: redis-py takes a quarter of a second.

__all__ = ["RedisServerStore", "find_address", "open_store"]

_TYPES: Final = (
    "redis",
    "feast.infra.online_stores.redis.RedisOnlineStore",
    "zeroskew.features.online_store.newest_redis.NewestRedisOnlineStore",
)
_DEFAULT_CONNECTION: Final = "localhost:6379"
_TIMEOUT_SEC: Final = 0.05
_HOST_AND_PORT: Final = re.compile(r"[^:]+:\d+")
_LOOPBACK: Final = frozenset({"localhost", "::1"})


def open_store(address: str) -> OnlineStore:
    """Return the store at an address that `parse_redis_url` takes, see `StoreFolder`."""
    return RedisServerStore(parse_redis_url(address))


def find_address(section: Mapping[str, Any], repo: Path) -> str | None:  # noqa: ARG001 - no path
    """Return the address of the Redis that Feast writes, see `StoreFolder`.

    Feast's options that say how its own client waits are left out.
    """
    if section["type"] not in _TYPES:
        return None
    servers, options = _read_connection(str(section.get("connection_string", _DEFAULT_CONNECTION)))
    if not servers or not all(map(_HOST_AND_PORT.fullmatch, servers)):
        raise ValueError(
            "Got no address in online_store, but expected a connection_string of host:port,"
            "name=value,... as Feast documents it."
        )
    login = ""
    if "password" in options:
        login = f"{quote(options.get('username', ''), '')}:{quote(options['password'], '')}@"
    is_tls = _read_switch(options.get("ssl", "false"))
    kept = {name: options[name] for name in sorted(TLS_OPTIONS & options.keys()) if is_tls}
    kind = section.get("redis_type", "redis")
    if kind == "redis":
        database = f"/{options['db']}" if "db" in options else ""
        # Feast takes the first of several, too.
        return _join("rediss" if is_tls else "redis", f"{login}{servers[0]}{database}", kept)
    place = f"{login}{','.join(servers)}"
    kept |= {"ssl": "true"} if is_tls else {}
    if kind == "redis_cluster":
        return _join("redis+cluster", place, kept)
    kept |= {"db": options["db"]} if "db" in options else {}
    master = quote(str(section.get("sentinel_master", "mymaster")), "")
    return _join("redis+sentinel", f"{place}/{master}", kept)


def _read_connection(text: str) -> tuple[list[str], dict[str, str]]:
    servers: list[str] = []
    options: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals:
            options[name] = _read_value(value)
        else:
            servers.append(part)
    return servers, options


def _read_switch(text: str) -> bool:
    """Return whether TLS is meant: Feast takes all but ``false`` for true, a misspelt no too."""
    if text not in ("true", "True", "false"):
        raise ValueError(f"Got ssl={text} in online_store, but expected true or false.")
    return text != "false"


def _read_value(text: str) -> str:
    """Return an option as Feast takes it, who reads what is JSON as JSON."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text


def _join(scheme: str, place: str, options: Mapping[str, str]) -> str:
    return f"{scheme}://{place}{'?' if options else ''}{urlencode(options)}"


class RedisServerStore:
    """The store at a Redis address, see `OnlineStore`."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address

    @property
    def name(self) -> str:
        """The hosts and the database; this machine is ``127.0.0.1``, and TLS is not told."""
        address = self._address
        hosts = sorted(
            f"{'127.0.0.1' if host in _LOOPBACK else host}:{port}" for host, port in address.servers
        )
        place = ",".join(hosts)
        database = str(address.database) if address.database else ""
        if address.kind == "cluster":
            return f"redis+cluster://{place}"
        if address.kind == "sentinel":
            options = {"db": database} if database else {}
            return _join("redis+sentinel", f"{place}/{quote(address.master or '', '')}", options)
        if address.path is not None:
            return _join("unix", quote(address.path), {"db": database} if database else {})
        return f"redis://{place}{'/' if database else ''}{database}"

    def open_reader(self, *, timeout_sec: float | None) -> OnlineFeatureReader:
        """Return a reader that waits for 50 ms if unsaid."""
        from zeroskew.online.redis.link import RedisLink
        from zeroskew.online.redis.reader import RedisFeatureReader, ServerEndpoint

        address, patience_sec = self._address, timeout_sec or _TIMEOUT_SEC
        if address.kind == "cluster":
            from zeroskew.online.redis.cluster import ClusterLink

            return RedisFeatureReader(
                lambda: ClusterLink(address, timeout_sec=patience_sec), names_hashes=True
            )
        if address.kind == "sentinel":
            from zeroskew.online.redis.sentinel import SentinelEndpoint

            sentinels = SentinelEndpoint(address)
            return RedisFeatureReader(lambda: RedisLink(sentinels, timeout_sec=patience_sec))
        server = ServerEndpoint(address)
        return RedisFeatureReader(lambda: RedisLink(server, timeout_sec=patience_sec))

    def open_writer(self, *, timeout_sec: float) -> OnlineFeatureWriter:
        """Return a writer of one view after another."""
        from zeroskew.online.redis.writer import RedisFeatureWriter

        return RedisFeatureWriter(self._address, timeout_sec=timeout_sec)

    def open_entities(self, project: str, tables: Collection[str]) -> StoredEntities:  # noqa: ARG002 - keys name their project
        """Return what looks through all hashes."""
        from zeroskew.online.redis.entities import RedisEntities

        return RedisEntities(self._address, project)

    def ping(self, *, timeout_sec: float) -> str | None:
        """Say why the server, or a node of the cluster, does not answer."""
        from zeroskew.online.redis.client import ping_server

        return ping_server(self._address, timeout_sec=timeout_sec)

    def measure(self) -> None:
        """Count nothing: a server has too much."""

    def make_empty_copy(self, folder: Path) -> EmptyCopy:  # noqa: ARG002 - there is no file
        """Refuse: nothing is made on a server."""
        raise NotSupportedError(NOT_COPIED)
