"""Gathers the batches that wait, and commits them together: a disk takes few commits a second."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog

from api.errors import FeedbackUnavailableError
from api.feedback.label_store import LabelStore, Outcome
from api.feedback.labels import LabelRow

__all__ = ["LabelWriter"]

_MAX_BATCHES: Final = 256
_log: Final = structlog.get_logger(__name__)

_Waiting = tuple[Sequence[LabelRow], "asyncio.Future[Outcome]"]


class LabelWriter:
    """Writes batches of labels on a thread of its own, as many at once as wait.

    Parameters
    ----------
    store
        The database.
    """

    def __init__(self, store: LabelStore) -> None:
        self._store = store
        self._waiting: deque[_Waiting] = deque()
        self._wake = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None

    async def write(self, batch: Sequence[LabelRow]) -> Outcome:
        """Write a batch, and return what became of it once it is on disk.

        Raises
        ------
        FeedbackUnavailableError
            If the database cannot be written; nothing of the batch is kept then.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="feedback", daemon=True)
            self._thread.start()
        written: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, written))
        self._wake.set()
        return await written

    def stop(self) -> None:
        """Write what waits, and end."""
        self._stopped = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._store.close()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait()
            self._wake.clear()
            while self._waiting:
                self._write_waiting()

    def _write_waiting(self) -> None:
        taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_BATCHES))]
        try:
            outcomes = self._store.write([batch for batch, _ in taken])
        except Exception as error:
            if not isinstance(error, self._store.failures):
                _log.exception("labels_not_written")
            failure = FeedbackUnavailableError("Labels cannot be stored at the moment.")
            failure.__cause__ = error
            for _, written in taken:
                _tell(written, failure)
            return
        for (_, written), outcome in zip(taken, outcomes, strict=True):
            _tell(written, outcome)


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
