"""Reads from a Redis cluster: redis-py knows where keys are, our own links ask the nodes.

Where a node says that a key has moved, the read is asked again through redis-py, which
follows; meanwhile the map of the cluster is drawn anew in the background.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias, cast

from hiredis import Reader
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from zeroskew.contract.errors.service import OnlineStoreUnavailableError
from zeroskew.online.redis.address import RedisAddress
from zeroskew.online.redis.layout import HashReply, RedisQuestion
from zeroskew.online.redis.link import RedisLink
from zeroskew.online.redis.reader import ServerEndpoint
from zeroskew.online.redis.replies import MovedError, translate_error

__all__ = ["ClusterLink"]

_UNREACHABLE: Final = "The online store's cluster cannot be reached."
_DISCOVERY_TIMEOUT_SEC: Final = 0.5
_DISCOVERY_PAUSE_SEC: Final = 1.0

_Server: TypeAlias = tuple[str, int]


class ClusterLink:
    """Reads from the primary nodes of a cluster, in one event loop.

    Parameters
    ----------
    address
        Its address, of kind ``cluster``.
    timeout_sec
        How long a read may take, its wait for a connection included.
    """

    def __init__(self, address: RedisAddress, *, timeout_sec: float) -> None:
        self._address = address
        self._timeout_sec = timeout_sec
        self._loop = asyncio.get_running_loop()
        self._client: RedisCluster | None = None
        self._discovery: asyncio.Task[None] | None = None
        self._discover_after = 0.0
        self._links: dict[_Server, RedisLink] = {}
        self._is_closed = False

    async def ask(self, question: RedisQuestion) -> list[HashReply]:
        """Return the replies to a question that names its hashes.

        Raises
        ------
        OnlineStoreUnavailableError
            If a node that has one of the keys cannot be read in time.
        OnlineValueError
            If a key is not a hash.
        """
        try:
            async with asyncio.timeout(self._timeout_sec):
                return await self._ask(question)
        except TimeoutError as error:
            self._rediscover()
            raise OnlineStoreUnavailableError("The online store did not answer in time.") from error
        except (RedisError, OSError) as error:
            self._rediscover()
            raise translate_error(error) from error

    async def close(self) -> None:
        """Close all connections; reads in flight and later ones fail."""
        self._is_closed = True
        if self._discovery is not None:
            self._discovery.cancel()
            await asyncio.wait([self._discovery])
        await asyncio.gather(*(link.close() for link in self._links.values()))
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _ask(self, question: RedisQuestion) -> list[HashReply]:
        client = await self._get_client()
        places: defaultdict[_Server, list[int]] = defaultdict(list)
        for place, key in enumerate(question.hash_keys):
            # redis-py declares text, but hashes bytes as they are.
            node = client.get_node_from_key(cast("str", key))
            if node is None:
                raise OnlineStoreUnavailableError(_UNREACHABLE)
            places[node.host, int(node.port)].append(place)
        answers = await asyncio.gather(
            *(self._ask_node(server, question, part) for server, part in places.items()),
            return_exceptions=True,
        )
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        if errors:
            self._rediscover()
            for error in errors:
                if not isinstance(error, MovedError):
                    raise error
            return await _ask_through_client(client, question)
        replies: dict[int, HashReply] = {}
        for part, answer in zip(places.values(), answers, strict=True):
            assert not isinstance(answer, BaseException)
            replies.update(zip(part, answer, strict=True))
        return [replies[place] for place in range(len(question.commands))]

    def _ask_node(
        self, server: _Server, question: RedisQuestion, places: Sequence[int]
    ) -> asyncio.Future[list[HashReply]]:
        link = self._links.get(server)
        if link is None:
            endpoint = ServerEndpoint(replace(self._address, kind="server", servers=(server,)))
            link = self._links[server] = RedisLink(endpoint, timeout_sec=self._timeout_sec)
        commands = [question.commands[place] for place in places]
        widths = [question.widths[place] for place in places]
        return link.ask(RedisQuestion(0, commands, widths, [], [], []))

    async def _get_client(self) -> RedisCluster:
        if self._client is None:
            self._rediscover()
            if self._discovery is not None:
                await asyncio.wait([self._discovery])
        if self._client is None:
            raise OnlineStoreUnavailableError(_UNREACHABLE)
        return self._client

    def _rediscover(self) -> None:
        """Draw the map anew in the background, unless that was done a moment ago."""
        if self._discovery is None and not self._is_closed:
            if self._loop.time() < self._discover_after:
                return
            self._discovery = self._loop.create_task(self._discover())

    async def _discover(self) -> None:
        client = self._make_client()
        try:
            async with asyncio.timeout(max(self._timeout_sec, _DISCOVERY_TIMEOUT_SEC)):
                await client.initialize()
        except Exception:  # A client may raise anything about what a server says.
            # The map that stands is the best there is; the next read asks for another.
            await client.aclose()
        except asyncio.CancelledError:
            await client.aclose()
            raise
        else:
            await self._adopt(client)
        finally:
            pause = random.uniform(0.5, 1.0) * _DISCOVERY_PAUSE_SEC  # noqa: S311 - spreads clients
            self._discover_after = self._loop.time() + pause
            self._discovery = None

    async def _adopt(self, client: RedisCluster) -> None:
        former, self._client = self._client, client
        primaries = {(node.host, int(node.port)) for node in client.get_primaries()}
        gone = [self._links.pop(server) for server in self._links.keys() - primaries]
        await asyncio.gather(*(link.close() for link in gone))
        if former is not None:
            await former.aclose()

    def _make_client(self) -> RedisCluster:
        address = self._address
        nodes = {*address.servers, *self._links}
        return RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in sorted(nodes)],
            username=address.username,
            password=address.password,
            socket_timeout=self._timeout_sec,
            socket_connect_timeout=_DISCOVERY_TIMEOUT_SEC / 2,
            retry=Retry(NoBackoff(), 0),
            **address.client_tls,
        )


async def _ask_through_client(client: RedisCluster, question: RedisQuestion) -> list[HashReply]:
    parser = Reader()
    parser.feed(b"".join(question.commands))
    pipeline = client.pipeline()
    for _ in question.commands:
        _, *arguments = parser.gets()
        pipeline.execute_command("HMGET", *arguments)
    replies: list[Any] = await pipeline.execute()
    if [len(reply) for reply in replies if type(reply) is list] != question.widths:
        raise OnlineStoreUnavailableError(
            "Got a reply of the online store that answers nothing that was asked."
        )
    return replies
