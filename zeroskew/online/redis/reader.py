"""Reads features from the Redis that Feast's own online store writes, in one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from zeroskew.online.reader import EntityKeys, ReadLayout, StoredFeatures
from zeroskew.online.redis.address import RedisAddress
from zeroskew.online.redis.connection import RedisConnection
from zeroskew.online.redis.layout import HashReply, RedisLayout, RedisQuestion
from zeroskew.online.redis.timestamps import EventTimes
from zeroskew.online.values.kept_entities import KeptBytes

__all__ = ["RedisFeatureReader", "ServerEndpoint", "StoreLink"]

# The entity key that `check` asks for; no entity has it.
_CHECK_KEY: Final = b"zeroskew:check:"


class StoreLink(Protocol):
    """What asks a server, or the servers of a cluster, in one event loop."""

    def ask(self, question: RedisQuestion) -> Awaitable[list[HashReply]]:
        """Return the replies, each as wide as the question says."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class ServerEndpoint:
    """A server at an address that is known beforehand.

    Parameters
    ----------
    address
        Its address, of kind ``server``.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self.login = address.login

    async def open(self, make_connection: Callable[[], RedisConnection]) -> None:
        """Open a transport to the server, over TCP, TLS or a unix socket."""
        loop = asyncio.get_running_loop()
        if self._address.path is not None:
            await loop.create_unix_connection(make_connection, self._address.path)
        else:
            [(host, port)] = self._address.servers
            await loop.create_connection(make_connection, host, port, ssl=self._address.tls)

    def accepts(self, role: str) -> bool:  # noqa: ARG002 - a replica can be read like any server
        """Take a server in any role."""
        return True


class RedisFeatureReader:
    """A reader that keeps one link to the store for each event loop.

    Parameters
    ----------
    open_link
        Makes the link of the running event loop.
    names_hashes
        Whether the link wants to know which hash each command reads.
    """

    def __init__(self, open_link: Callable[[], StoreLink], *, names_hashes: bool = False) -> None:
        self.cells_at_once: Final = 1536
        self._make_link = open_link
        self._names_hashes = names_hashes
        self._links: dict[asyncio.AbstractEventLoop, StoreLink] = {}
        self._layouts: WeakKeyDictionary[ReadLayout, RedisLayout] = WeakKeyDictionary()
        self._event_times = EventTimes()
        self._kept_bytes = KeptBytes()

    async def read(self, layout: ReadLayout, keys: Sequence[EntityKeys]) -> StoredFeatures:
        """Return the stored features of some request rows.

        Parameters
        ----------
        layout
            What to read.
        keys
            For each of ``layout.lookups`` the keys of all rows, in the order of the rows.

        Raises
        ------
        OnlineStoreUnavailableError
            If the server cannot be reached, does not answer in time, or refuses.
        OnlineValueError
            If an entity is not a hash, or a value has no event time or a damaged one.
        """
        prepared = self._layouts.get(layout)
        if prepared is None:
            prepared = self._prepare(layout)
        question = prepared.pack(keys)
        if not question.commands:
            return prepared.unpack(question, [])
        link = self._links.get(asyncio.get_running_loop()) or self._open_link()
        return prepared.unpack(question, await link.ask(question))

    async def check(self, layout: ReadLayout) -> None:
        """Check that the server lets the layout's features be read.

        Redis has no tables: a view that was never materialized reads like unknown entities.

        Raises
        ------
        OnlineStoreUnavailableError
            If it does not.
        """
        await self.read(layout, [(_CHECK_KEY,)] * len(layout.lookups))

    async def close(self) -> None:
        """Close the connection; reads in flight and later ones fail."""
        link = self._links.get(asyncio.get_running_loop()) or self._open_link()
        await link.close()

    def _prepare(self, layout: ReadLayout) -> RedisLayout:
        prepared = RedisLayout(
            layout, self._event_times, self._kept_bytes, names_hashes=self._names_hashes
        )
        self._layouts[layout] = prepared
        return prepared

    def _open_link(self) -> StoreLink:
        loop = asyncio.get_running_loop()
        self._links = {loop: link for loop, link in self._links.items() if not loop.is_closed()}
        link = self._links[loop] = self._make_link()
        return link
