"""Many clients of one Redis reader, each of which knows what its answer must be."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Final

from tests.support.redis_rows import LAYOUT, assert_answers, keys_of
from tests.support.waiting import PATIENCE_SEC
from zeroskew.contract.errors.service import OnlineStoreUnavailableError
from zeroskew.online.reader import OnlineFeatureReader, StoredFeatures

__all__ = ["KEYS", "LONGEST_ANSWER_SEC", "Crowd", "read_key", "recover"]

LONGEST_ANSWER_SEC: Final = 0.150
N_READERS: Final = 64
KEYS: Final = tuple(b"key-%d" % number for number in range(N_READERS))


async def read_key(reader: OnlineFeatureReader, key: bytes) -> StoredFeatures:
    answer = await reader.read(LAYOUT, keys_of(key))
    assert_answers(answer, key)
    return answer


async def recover(reader: OnlineFeatureReader) -> float:
    """Read until it works again; return how long it took."""
    started = time.monotonic()
    while time.monotonic() - started < PATIENCE_SEC:
        try:
            await read_key(reader, KEYS[0])
        except OnlineStoreUnavailableError:
            await asyncio.sleep(0.01)
        else:
            return time.monotonic() - started
    raise TimeoutError


@dataclass
class Crowd:
    """Many concurrent clients, each with its own key, whose answers and times are checked."""

    reader: OnlineFeatureReader
    outcomes: Counter[str] = field(default_factory=Counter)
    longest_sec: float = 0.0
    is_over: bool = False

    async def run(self, faults: Awaitable[None]) -> None:
        """Read until the faults are over."""
        clients = [asyncio.create_task(self._read_on(key)) for key in KEYS]
        await faults
        self.is_over = True
        await asyncio.gather(*clients)

    async def _read_on(self, key: bytes) -> None:
        while not self.is_over:
            started = time.monotonic()
            try:
                await read_key(self.reader, key)
            except OnlineStoreUnavailableError as error:
                self.outcomes[str(error)] += 1
            else:
                self.outcomes["answered"] += 1
            self.longest_sec = max(self.longest_sec, time.monotonic() - started)
            await asyncio.sleep(0.004)

    def assert_mixed(self) -> None:
        """Check that some reads were answered and some failed."""
        assert self.outcomes["answered"] > N_READERS
        assert self.outcomes.total() > self.outcomes["answered"]
