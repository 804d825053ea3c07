"""Writes what was predicted, in groups, on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog

from api.prediction_log.log_mask import MaskFinder
from api.prediction_log.log_store import LogStore
from api.prediction_log.logged_rows import LoggedRow, PredictionRecord, pack
from api.prediction_log.spool import Spool, SpoolFullError

__all__ = ["LogCounters", "LogWriter", "WhenWritten"]

WhenWritten = Callable[[bool], None]
"""Is told, on the writer's thread, whether the rows of a record are on disk."""

_GROUP_INSTANCES: Final = 1000
_PACKED_AT_ONCE: Final = 20
"""Up to so many instances a record is packed where it comes from.

It takes the event loop some microseconds each time. Packing a whole group on the thread took the
interpreter for milliseconds, which was the tail of the callers' latencies.
"""

_RETRY_SEC: Final = 0.5
_SAY_AGAIN_SEC: Final = 60.0
_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True)
class LogCounters:
    """Rows of the log since the start of the process, by what became of them.

    ``recorded`` came from predictions; of these ``written`` went straight to the database,
    ``spooled`` to the spool, and ``dropped`` nowhere. ``drained`` went from the spool to the
    database, those of earlier processes included.
    """

    recorded: int = 0
    written: int = 0
    spooled: int = 0
    drained: int = 0
    dropped: int = 0


class _Buffered(NamedTuple):
    """What waits, of how many instances: a row, a record to be packed, or what could not be."""

    n_rows: int
    content: LoggedRow | PredictionRecord | None


class LogWriter:
    """Takes records from a bounded buffer, packs them, and writes them down.

    While the database is away rows go to the spool, and they go on doing so until what is there
    is in the database: so rows arrive in their order. Every row has its key, and what was
    written twice is there once.

    Parameters
    ----------
    store
        The database.
    spool
        Where rows wait for it.
    max_rows
        How many instances the buffer holds; records beyond are dropped and counted.
    flush_sec
        How long a row may wait for others to be written with.
    masks
        Say what is left out of each model's rows.
    """

    def __init__(
        self,
        *,
        store: LogStore,
        spool: Spool,
        max_rows: int,
        flush_sec: float,
        masks: MaskFinder,
    ) -> None:
        self._masks = masks
        self._store = store
        self._spool = spool
        self._max_rows = max_rows
        self._flush_sec = flush_sec
        self._buffer: deque[tuple[_Buffered, WhenWritten | None]] = deque()
        # Each of them is raised by one thread alone: the event loop's, and the writer's.
        self._n_put = 0
        self._n_taken = 0
        self._wake = threading.Event()
        self._stopped = False
        self._retry_at = 0.0
        self._said_at = 0.0
        self._thread = threading.Thread(target=self._run, name="prediction_log", daemon=True)
        self.counters = LogCounters()

    @property
    def n_waiting(self) -> int:
        """How many rows wait to be written."""
        return self._n_put - self._n_taken

    def measure_spool_bytes(self) -> int:
        """Return how large the spool is."""
        return self._spool.measure_bytes()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is buffered, and end."""
        self._stopped = True
        self._wake.set()
        self._thread.join()
        self._spool.close()
        self._store.close()

    def put(self, record: PredictionRecord, when_written: WhenWritten | None = None) -> bool:
        """Take a record, or return ``False`` where there is no room for it.

        Only the event loop's thread calls it. With `when_written` it is written at once.
        """
        n_rows = len(record)
        self.counters.recorded += 1
        if self.n_waiting + n_rows > self._max_rows:
            self._drop(1, "the buffer is full")
            return False
        self._n_put += n_rows
        is_small = n_rows <= _PACKED_AT_ONCE
        buffered = self._pack(record) if is_small else record
        self._buffer.append((_Buffered(n_rows, buffered), when_written))
        if when_written is not None:
            self._wake.set()
        return True

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(self._flush_sec)
            self._wake.clear()
            self._write_buffered()
        self._write_buffered()

    def _write_buffered(self) -> None:
        self._drain()
        self._write_groups()

    def _write_groups(self) -> None:
        while self._buffer:
            rows: list[LoggedRow] = []
            waiting: list[WhenWritten] = []
            n_taken = 0
            while self._buffer and n_taken < _GROUP_INSTANCES:
                buffered, when_written = self._buffer.popleft()
                n_taken += buffered.n_rows
                if when_written is not None:
                    waiting.append(when_written)
                content = buffered.content
                row = self._pack(content) if isinstance(content, PredictionRecord) else content
                if row is not None:
                    rows.append(row)
            is_on_disk = self._write(rows)
            self._n_taken += n_taken
            for when_written in waiting:
                when_written(is_on_disk)

    def _pack(self, record: PredictionRecord) -> LoggedRow | None:
        try:
            mask = self._masks.find(record.model.manifest, record.model.version)
            return pack(record, datetime.now(UTC), mask)
        except Exception:  # One record that cannot be packed must not stop the log.
            _log.exception("prediction_not_packed", id=record.id)
            self._drop(1, "a record cannot be packed")
            return None

    def _write(self, rows: Sequence[LoggedRow]) -> bool:
        """Write rows to the database or else to the spool; tell whether they are on disk."""
        if self._spool.is_empty and time.monotonic() >= self._retry_at:
            try:
                self.counters.written += self._store_rows(rows)
            except self._store.failures as error:
                self._note_away(error)
            else:
                return True
        try:
            self._spool.append(rows)
        except SpoolFullError as error:
            self._drop(len(rows), str(error))
            return False
        self.counters.spooled += len(rows)
        return True

    def _store_rows(self, rows: Sequence[LoggedRow]) -> int:
        """Write rows to the database, and return how many: one that it refuses stops no others."""
        try:
            self._store.write(rows)
        except self._store.refusals:
            if len(rows) == 1:
                _log.exception("row_refused_by_database", id=rows[0].id)
                self._drop(1, "the database refuses a row")
                return 0
            return sum(self._store_rows([row]) for row in rows)
        return len(rows)

    def _drain(self) -> None:
        """Bring what is in the spool to the database, if that is back."""
        if self._spool.is_empty or time.monotonic() < self._retry_at:
            return
        n_rows, began = 0, time.monotonic()
        try:
            for rows in self._spool.drain():
                n_rows += self._store_rows(rows)
                if time.monotonic() - began > self._flush_sec:
                    # What has come meanwhile goes behind the rest: a durable answer waits for a
                    # disk, and not for all that is older. When little is left to drain nothing
                    # goes behind it any more, and then the spool is empty.
                    self._write_groups()
                    began = time.monotonic()
        except self._store.failures as error:
            self._note_away(error)
        self.counters.drained += n_rows
        if n_rows:
            _log.info("spool_drained", n_rows=n_rows, is_empty=self._spool.is_empty)

    def _note_away(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + _RETRY_SEC
        _log.warning("log_database_away", reason=type(error).__name__)

    def _drop(self, n_rows: int, reason: str) -> None:
        self.counters.dropped += n_rows
        now = time.monotonic()
        if now - self._said_at >= _SAY_AGAIN_SEC:
            self._said_at = now
            _log.error("predictions_not_logged", n_dropped=self.counters.dropped, reason=reason)
