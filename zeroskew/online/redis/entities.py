"""All entities of a project in a Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final, TypeVar

from zeroskew.contract.errors.sentences import first_line
from zeroskew.contract.errors.service import OnlineStoreUnavailableError
from zeroskew.online.reader import StoredView
from zeroskew.online.redis.address import RedisAddress
from zeroskew.online.redis.client import FAILURES, Client, run_commands
from zeroskew.online.store import StoredEntity

__all__ = ["RedisEntities"]

_TIMEOUT_SEC: Final = 30.0
_KEYS_A_SCAN: Final = 1000
_MOST_SCANNED: Final = 20_000
"""How many of a server's keys are looked at for a sample of a view's."""
_TIME_PREFIX: Final = b"_ts:"
_Answer = TypeVar("_Answer")


class RedisEntities:
    """The hashes whose key ends in the project, see `StoredEntities`.

    Parameters
    ----------
    address
        The address of the store.
    project
        Feast's project.

    Raises
    ------
    OnlineStoreUnavailableError
        In every method, if the server does not answer or refuses.
    """

    def __init__(self, address: RedisAddress, project: str) -> None:
        self._address = address
        self._suffix = project.encode()

    def list_keys(self, view: StoredView, key_prefix: bytes) -> Iterator[bytes]:  # noqa: ARG002 - one hash for all views
        """Yield keys among the first 20,000 that the server has."""

        async def sample(client: Client) -> list[bytes]:
            found: list[bytes] = []
            n_scanned = 0
            async for key in _scan(client):
                n_scanned += 1
                if key.startswith(key_prefix) and key.endswith(self._suffix):
                    found.append(key[: len(key) - len(self._suffix)])
                if n_scanned == _MOST_SCANNED:
                    break
            return found

        return iter(self._run(sample))

    def find(self, is_meant: Callable[[bytes], bool]) -> list[StoredEntity]:
        """Return the meant entities; their fields are hashes that say nothing of the features."""

        async def find(client: Client) -> list[StoredEntity]:
            found = []
            async for key in self._list_meant(client, is_meant):
                fields = await client.hgetall(key + self._suffix)
                values = [v for name, v in fields.items() if not name.startswith(_TIME_PREFIX)]
                found.append(StoredEntity(key, values))
            return found

        return self._run(find)

    def erase(self, is_meant: Callable[[bytes], bool]) -> int:
        """Unlink the meant hashes."""

        async def erase(client: Client) -> int:
            found = [key async for key in self._list_meant(client, is_meant)]
            for key in found:
                await client.unlink(key + self._suffix)
            return len(found)

        return self._run(erase)

    async def _list_meant(
        self, client: Client, is_meant: Callable[[bytes], bool]
    ) -> AsyncIterator[bytes]:
        async for key in _scan(client):
            if key.endswith(self._suffix):
                # Another project's name may end in this one's: then what is left is no key.
                entity_key = key[: len(key) - len(self._suffix)]
                if is_meant(entity_key):
                    yield entity_key

    def _run(self, work: Callable[[Client], Awaitable[_Answer]]) -> _Answer:
        try:
            return run_commands(self._address, work, timeout_sec=_TIMEOUT_SEC)
        except FAILURES as error:
            raise OnlineStoreUnavailableError(
                f"The online store cannot be looked through: {first_line(error)}"
            ) from error


def _scan(client: Client) -> AsyncIterator[bytes]:
    found: AsyncIterator[bytes] = client.scan_iter(count=_KEYS_A_SCAN, _type="hash")
    return found
