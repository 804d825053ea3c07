"""A writer of the online store that is opened at the first write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zeroskew.online.writer import OnlineFeatureWriter, OnlineWrite, StateChange

__all__ = ["LazyWriter"]


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

    async def change_states(self, change: StateChange) -> int:
        """Change states, see `OnlineFeatureWriter`."""
        return await (await self.open()).change_states(change)

    async def close(self) -> None:
        """Close the writer if it was opened."""
        if self._writer is not None:
            await self._writer.close()
