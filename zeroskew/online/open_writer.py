"""From the address of an online store to what writes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from zeroskew.contract.errors.service import NotSupportedError
from zeroskew.online.writer import OnlineFeatureWriter, OnlineWrite

__all__ = ["LazyWriter", "open_writer"]

_SQLITE: Final = "sqlite:///"
_FEAST: Final = "feast:///"


def open_writer(url: str, *, timeout_sec: float) -> OnlineFeatureWriter:
    """Return the writer for an online store; it connects when it first writes.

    Parameters
    ----------
    url
        An address that `zeroskew.online.open_reader.open_reader` takes.
    timeout_sec
        How long a write may take.

    Raises
    ------
    NotSupportedError
        If the service writes no store of that kind.
    """
    if url.startswith(_SQLITE):
        from zeroskew.online.sqlite.writer import SqliteFeatureWriter

        return SqliteFeatureWriter(Path(url.removeprefix(_SQLITE)), timeout_sec=timeout_sec)
    if url.startswith(_FEAST):
        raise NotSupportedError(
            "The service writes Redis and SQLite; write this online store with Feast itself."
        )
    # Imported here, because redis-py takes a quarter of a second.
    from zeroskew.online.redis.address import parse_redis_url
    from zeroskew.online.redis.writer import RedisFeatureWriter

    return RedisFeatureWriter(parse_redis_url(url), timeout_sec=timeout_sec)


class LazyWriter:
    """A writer that is opened at the first write: most services are never asked to.

    Parameters
    ----------
    open_one
        Opens it.
    """

    def __init__(self, open_one: Callable[[], OnlineFeatureWriter]) -> None:
        self._open_one = open_one
        self._writer: OnlineFeatureWriter | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> OnlineFeatureWriter:
        """Open the writer if it is not open yet.

        Raises
        ------
        NotSupportedError
            If the service writes no store of that kind.
        """
        if self._writer is None:
            async with self._opening:
                if self._writer is None:
                    self._writer = await asyncio.to_thread(self._open_one)
        return self._writer

    async def write(self, write: OnlineWrite) -> list[int]:
        """Write, see `OnlineFeatureWriter`."""
        return await (await self.open()).write(write)

    async def close(self) -> None:
        """Close the writer if it was opened."""
        if self._writer is not None:
            await self._writer.close()
