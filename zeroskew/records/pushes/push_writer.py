"""Gathers the pushes that wait, and commits them together: a disk takes few commits a second."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from zeroskew.contract.errors.service import PushUnavailableError
from zeroskew.records.pushes.push_row import PushRow
from zeroskew.records.pushes.push_store import PushStore

__all__ = ["PushWriter"]

_log: Final = structlog.get_logger(__name__)
_Waiting = tuple[Sequence[PushRow], "asyncio.Future[None]"]


class PushWriter:
    """Writes pushed rows beside the event loop, as many pushes at once as wait.

    Parameters
    ----------
    store
        The database; the writer closes it.
    """

    def __init__(self, store: PushStore) -> None:
        self._store = store
        self._waiting: list[_Waiting] = []
        self._work: asyncio.Task[None] | None = None

    async def write(self, pushes: Sequence[PushRow]) -> None:
        """Write the rows of a request, and return once they are on disk.

        Raises
        ------
        PushUnavailableError
            If the database cannot be written; nothing of the request is kept then.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((pushes, written))
        if self._work is None:
            # It ends when nothing waits, so there is no task that could die unseen.
            self._work = asyncio.create_task(self._write_waiting())
        await written

    async def close(self) -> None:
        """Write what waits, and close the database."""
        if self._work is not None:
            await asyncio.wait([self._work])
        await asyncio.to_thread(self._store.close)

    async def _write_waiting(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting, []
                failure = await self._write([push for pushes, _ in taken for push in pushes])
                for _, written in taken:
                    if written.done():
                        continue  # Who asked has gone.
                    if failure is None:
                        written.set_result(None)
                    else:
                        written.set_exception(failure)
        finally:
            self._work = None

    async def _write(self, pushes: Sequence[PushRow]) -> PushUnavailableError | None:
        try:
            await asyncio.to_thread(self._store.write, pushes)
        except Exception as error:
            if not isinstance(error, self._store.failures):
                _log.exception("pushes_not_written")
            failure = PushUnavailableError("Pushed rows cannot be stored at the moment.")
            failure.__cause__ = error
            return failure
        return None
