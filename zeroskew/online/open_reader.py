"""From the address of an online store to the reader that speaks to it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from zeroskew.online.reader import OnlineFeatureReader

__all__ = ["open_reader"]

_SQLITE: Final = "sqlite:///"
_REDIS: Final = ("redis://", "rediss://", "unix://", "redis+cluster://", "redis+sentinel://")
_FEAST: Final = "feast:///"
_SQLITE_TIMEOUT_SEC: Final = 1.0
_FEAST_TIMEOUT_SEC: Final = 1.0
_REDIS_TIMEOUT_SEC: Final = 0.05


def open_reader(url: str, *, timeout_sec: float | None) -> OnlineFeatureReader:
    """Return the reader for an online store; it connects when it is first asked.

    Parameters
    ----------
    url
        ``sqlite:///<path>``, or an address of Redis: ``redis://``, ``rediss://``, ``unix://``,
        ``redis+cluster://``, ``redis+sentinel://``; or ``feast:///<path>`` of a
        ``feature_store.yaml``, for any other store that Feast's SDK reads.
    timeout_sec
        How long a read may take; ``None`` means 50 ms for Redis and 1 s for the others.

    Raises
    ------
    ValueError
        If `url` is not such an address, or Feast is needed and not installed. The message does
        not show the address: it may hold a password.
    """
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        from zeroskew.online.sqlite.reader import SqliteFeatureReader

        path = Path(url.removeprefix(_SQLITE))
        return SqliteFeatureReader(path, timeout_sec=timeout_sec or _SQLITE_TIMEOUT_SEC)
    if url.startswith(_REDIS):
        return _open_redis(url, timeout_sec or _REDIS_TIMEOUT_SEC)
    if url.startswith(_FEAST) and len(url) > len(_FEAST):
        # Feast takes seconds to import, and need not be installed.
        from zeroskew.online.feast_sdk.reader import FeastFeatureReader

        path = Path(url.removeprefix(_FEAST))
        return FeastFeatureReader(path, timeout_sec=timeout_sec or _FEAST_TIMEOUT_SEC)
    raise ValueError(
        f"Got an unknown kind of address in ZEROSKEW_ONLINE_STORE, but expected {_SQLITE}<path>, "
        f"{_FEAST}<path> or one that begins with {', '.join(_REDIS)}."
    )


def _open_redis(url: str, timeout_sec: float) -> OnlineFeatureReader:
    # Imported here, because a service on SQLite has no use for them, and redis-py alone takes
    # a quarter of a second.
    from zeroskew.online.redis.address import parse_redis_url
    from zeroskew.online.redis.link import RedisLink
    from zeroskew.online.redis.reader import RedisFeatureReader, ServerEndpoint

    address = parse_redis_url(url)
    if address.kind == "cluster":
        from zeroskew.online.redis.cluster import ClusterLink

        return RedisFeatureReader(
            lambda: ClusterLink(address, timeout_sec=timeout_sec), names_hashes=True
        )
    if address.kind == "sentinel":
        from zeroskew.online.redis.sentinel import SentinelEndpoint

        sentinels = SentinelEndpoint(address)
        return RedisFeatureReader(lambda: RedisLink(sentinels, timeout_sec=timeout_sec))
    server = ServerEndpoint(address)
    return RedisFeatureReader(lambda: RedisLink(server, timeout_sec=timeout_sec))
