"""Gathers the batches that wait, and commits them together: a disk takes few commits a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog

from zeroskew.contract.errors.service import FeedbackUnavailableError
from zeroskew.records.background_work import BackgroundThread
from zeroskew.records.labels.label_row import LabelRow, Outcome
from zeroskew.records.labels.label_store import LabelStore

__all__ = ["LabelWriter"]

_MAX_BATCHES: Final = 256
_STOP_SEC: Final = 30.0
_log: Final = structlog.get_logger(__name__)

_Waiting = tuple[Sequence[LabelRow], "asyncio.Future[Outcome]"]


class LabelWriter:
    """Writes batches of labels on a thread of its own, as many at once as wait.

    Parameters
    ----------
    store
        The database.
    timeout_sec
        How long a batch waits to be on disk.
    """

    def __init__(self, store: LabelStore, *, timeout_sec: float = 30.0) -> None:
        self._store = store
        self._timeout_sec = timeout_sec
        self._waiting: deque[_Waiting] = deque()
        self.thread = BackgroundThread("feedback", self._write_all)

    async def write(self, batch: Sequence[LabelRow]) -> Outcome:
        """Write a batch, and return what became of it once it is on disk.

        Raises
        ------
        FeedbackUnavailableError
            If the database cannot be written; nothing of the batch is kept then. If it does not
            answer in time; then the batch may be kept, and coming again changes nothing.
        """
        try:
            self.thread.start()
        except RuntimeError as error:  # The system gives no thread.
            raise _unavailable(error) from error
        if self.thread.is_stopped:
            raise _unavailable(None)
        written: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, written))
        self.thread.wake()
        try:
            async with asyncio.timeout(self._timeout_sec):
                return await written
        except TimeoutError as error:
            raise _unavailable(error) from error

    def stop(self) -> None:
        """Write what waits, and end; who waits for what was not written is told so."""
        has_ended = self.thread.stop(_STOP_SEC)
        while self._waiting:
            _tell(self._waiting.popleft()[1], _unavailable(None))
        if has_ended:
            self._store.close()

    def _write_all(self) -> None:
        while self._waiting:
            self._write_waiting()
            self.thread.note_progress()

    def _write_waiting(self) -> None:
        taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_BATCHES))]
        # Who has gone meanwhile was told that nothing is kept for sure, and comes again.
        taken = [one for one in taken if not one[1].done()]
        if not taken:
            return
        try:
            outcomes = self._store.write([batch for batch, _ in taken])
        except Exception as error:
            if not isinstance(error, self._store.failures):
                _log.exception("labels_not_written")
            for _, written in taken:
                _tell(written, _unavailable(error))
            return
        for (_, written), outcome in zip(taken, outcomes, strict=True):
            _tell(written, outcome)


def _unavailable(cause: Exception | None) -> FeedbackUnavailableError:
    failure = FeedbackUnavailableError("Labels cannot be stored at the moment.")
    failure.__cause__ = cause
    return failure


def _tell(written: asyncio.Future[Outcome], outcome: Outcome | FeedbackUnavailableError) -> None:
    def settle() -> None:
        if written.done():
            return  # Who asked has gone.
        if isinstance(outcome, FeedbackUnavailableError):
            written.set_exception(outcome)
        else:
            written.set_result(outcome)

    with contextlib.suppress(RuntimeError):  # The loop may be closed by now.
        written.get_loop().call_soon_threadsafe(settle)
