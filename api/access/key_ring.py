"""The keys that are valid now, kept in memory in step with the database."""

from __future__ import annotations

import contextlib
import hmac
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog

from api.access.caller import Caller
from zeroskew.contract.errors.service import RegistryUnavailableError
from zeroskew.contract.scope import hash_secret, split_key
from zeroskew.records.access.registered_access import AccessReader, RegisteredKey
from zeroskew.records.registry.registry_executor import RegistryExecutor

__all__ = ["KeyRing"]

_NOBODY: Final = hash_secret("")
_NOTE_USES_SEC: Final = 60.0
_log: Final = structlog.get_logger(__name__)


class _Key(NamedTuple):
    sha256: str
    expires_at: float
    caller: Caller


class KeyRing:
    """Finds the caller that a key stands for, without asking the database.

    A key that is made, revoked or rotated is followed at the next look. While the database is
    away the keys that were valid go on being so, until they expire.

    Parameters
    ----------
    reader
        Reads keys and tenants.
    executor
        Runs these calls beside the event loop.
    """

    def __init__(self, *, reader: AccessReader, executor: RegistryExecutor) -> None:
        self._reader = reader
        self._executor = executor
        self._generation: int | None = None
        self._keys: dict[str, _Key] = {}
        self._uses: dict[str, datetime] = {}
        self._noted_at = time.monotonic()
        self.tenants: dict[str, str] = {}
        """The tenant of each model that has one."""

    def __len__(self) -> int:
        """Return how many keys are valid."""
        now = time.time()
        return sum(key.expires_at > now for key in self._keys.values())

    async def start(self) -> None:
        """Read the keys for the first time.

        Raises
        ------
        RegistryUnavailableError
            If they cannot be read.
        """
        await self._look()

    async def follow(self) -> None:
        """Look at the database, one of many times, and note in it now and then who was here."""
        try:
            await self._look()
            if time.monotonic() - self._noted_at > _NOTE_USES_SEC:
                await self.note_uses()
        except RegistryUnavailableError as error:
            _log.warning("keys_not_followed", reason=str(error))

    async def note_uses(self) -> None:
        """Write down when keys were last used.

        Raises
        ------
        RegistryUnavailableError
            If the database cannot be written; the next time tries again.
        """
        self._noted_at = time.monotonic()
        if uses := self._uses:
            self._uses = {}
            try:
                await self._executor.run(self._reader.note_uses, uses)
            except RegistryUnavailableError:
                self._uses = uses | self._uses
                raise

    async def close(self) -> None:
        """Write down the last uses, if that can be."""
        with contextlib.suppress(RegistryUnavailableError):
            await self.note_uses()

    def find(self, text: str) -> Caller | None:
        """Return whose key `text` is, or ``None`` where it is no valid key."""
        key_id, sha256 = split_key(text) or ("", "")
        key = self._keys.get(key_id)
        # The same comparison, whether there is such a key or not.
        is_right = hmac.compare_digest(sha256, _NOBODY if key is None else key.sha256)
        if key is None or not is_right or key.expires_at <= time.time():
            return None
        self._uses[key_id] = datetime.now(UTC)
        return key.caller

    async def _look(self) -> None:
        generation = await self._executor.run(self._reader.read_generation)
        if generation == self._generation:
            return
        snapshot = await self._executor.run(self._reader.read_access)
        self.tenants = snapshot.tenants
        self._keys = _index(snapshot.keys, snapshot.tenants)
        self._generation = snapshot.generation


def _index(keys: Iterable[RegisteredKey], tenants: dict[str, str]) -> dict[str, _Key]:
    return {
        key.id: _Key(
            key.sha256,
            float("inf") if key.expires_at is None else key.expires_at.timestamp(),
            Caller(
                id=key.id,
                name=key.name,
                scopes=frozenset(key.scopes),
                tenant=key.tenant,
                tenants=tenants,
                requests_per_sec=key.requests_per_sec,
                requests_per_day=key.requests_per_day,
            ),
        )
        for key in keys
        if key.revoked_at is None
    }
