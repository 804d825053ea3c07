"""Writes what was predicted, in groups, on a thread of its own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog

from api.predictions.logged_rows import PredictionRecord, pack
from zeroskew.records.background_work import BackgroundThread
from zeroskew.records.prediction_log.log_mask import MaskFinder
from zeroskew.records.prediction_log.log_store import LogStore
from zeroskew.records.prediction_log.logged_row import LoggedRow
from zeroskew.records.prediction_log.spool import Spool, SpoolFullError

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
_RETRY_UNREAD_SEC: Final = 5.0

_SURROUNDINGS: Final = (OSError, MemoryError, RuntimeError)
"""What is no row's fault, beside the database's own errors: no more files, memory, threads."""

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
    when_written: WhenWritten | None


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
    stop_sec
        How long the last turn may take; what a database that hangs has not taken then is lost.
    """

    def __init__(
        self,
        *,
        store: LogStore,
        spool: Spool,
        max_rows: int,
        flush_sec: float,
        masks: MaskFinder,
        stop_sec: float = 30.0,
    ) -> None:
        self._masks = masks
        self._store = store
        self._spool = spool
        self._max_rows = max_rows
        self._flush_sec = flush_sec
        self._stop_sec = stop_sec
        self._buffer: deque[_Buffered] = deque()
        self._group: list[_Buffered] = []
        # Each of them is raised by one thread alone: the event loop's, and the writer's.
        self._n_put = 0
        self._n_taken = 0
        self._retry_at = 0.0
        self._retry_unread_at = 0.0
        self._said_at = 0.0
        self._n_said = 0
        self.thread = BackgroundThread("prediction_log", self._write_buffered, every_sec=flush_sec)
        self.is_stuck = False
        """Whether neither database nor spool took the last rows."""
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
        self.thread.start()

    def stop(self) -> None:
        """Write what is buffered, and end; what could not be written counts as dropped."""
        has_ended = self.thread.stop(self._stop_sec)
        left = [*self._group, *self._buffer]
        if left:
            self._drop(len(left), "the service stopped before they were written")
            _tell(left, [one.content for one in left if isinstance(one.content, LoggedRow)])
        if self.counters.dropped > self._n_said:
            self._say_dropped("the last count at the stop")
        if has_ended:
            self._spool.close()
            self._store.close()

    def put(self, record: PredictionRecord, when_written: WhenWritten | None = None) -> bool:
        """Take a record, or return ``False`` where there is no room for it.

        Only the event loop's thread calls it. With `when_written` it is written at once.
        """
        n_rows = len(record)
        self.counters.recorded += 1
        if self.thread.is_stopped:
            self._drop(1, "the log is closed")
            return False
        if self.n_waiting + n_rows > self._max_rows:
            self._drop(1, "the buffer is full")
            return False
        self._n_put += n_rows
        is_small = n_rows <= _PACKED_AT_ONCE
        buffered = self._pack(record) if is_small else record
        self._buffer.append(_Buffered(n_rows, buffered, when_written))
        if when_written is not None:
            self.thread.wake()
        return True

    def _write_buffered(self) -> None:
        try:
            self._drain()
        finally:
            # Whatever is wrong with what is older: new rows are written all the same.
            self._write_groups()
            if self.is_stuck:
                # While nobody sends anything, nothing else would find out that it works again.
                self._write([])

    def _write_groups(self) -> None:
        while self._group or self._buffer:
            self._take_group()
            rows = [one.content for one in self._group if isinstance(one.content, LoggedRow)]
            lost = self._write(rows) if rows else []
            group, self._group = self._group, []
            self._n_taken += sum(one.n_rows for one in group)
            _tell(group, lost)
            self.thread.note_progress()

    def _take_group(self) -> None:
        """Pack the next records into the group; one whose turn failed is there still."""
        n_taken = sum(one.n_rows for one in self._group)
        while self._buffer and n_taken < _GROUP_INSTANCES:
            buffered = self._buffer.popleft()
            n_taken += buffered.n_rows
            if isinstance(buffered.content, PredictionRecord):
                buffered = buffered._replace(content=self._pack(buffered.content))
            self._group.append(buffered)

    def _pack(self, record: PredictionRecord) -> LoggedRow | None:
        try:
            mask = self._masks.find(record.model.manifest, record.model.version)
            return pack(record, datetime.now(UTC), mask)
        except Exception:  # One record that cannot be packed must not stop the log.
            _log.exception("prediction_not_packed", id=record.id)
            self._drop(1, "a record cannot be packed")
            return None

    def _write(self, rows: Sequence[LoggedRow]) -> Sequence[LoggedRow]:
        """Write rows to the database or else to the spool; return those that are on no disk."""
        if self._spool.is_empty and time.monotonic() >= self._retry_at:
            try:
                lost = self._store_rows(rows)
            except Exception as error:  # Of whatever kind: the spool is there for it.
                self._note_away(error)
            else:
                self.is_stuck = False
                self.counters.written += len(rows) - len(lost)
                return lost
        try:
            self._spool.append(rows)
        except SpoolFullError as error:
            self.is_stuck = True
            self._drop(len(rows), str(error))
            return rows
        self.is_stuck = False
        self.counters.spooled += len(rows)
        return []

    def _store_rows(self, rows: Sequence[LoggedRow]) -> Sequence[LoggedRow]:
        """Write rows to the database; return those that it refuses, which stop no others."""
        try:
            self._store.write(rows)
        except Exception as error:
            if not self._is_refusal(error):
                raise
            if len(rows) == 1:
                _log.exception("row_refused_by_database", id=rows[0].id)
                self._drop(1, "the database refuses a row")
                return rows
            return [lost for row in rows for lost in self._store_rows([row])]
        return []

    def _is_refusal(self, error: Exception) -> bool:
        """Whether an error is a row's fault: a kind that nobody has foreseen is one too."""
        store = self._store
        return isinstance(error, store.refusals) or not isinstance(
            error, (*store.failures, *_SURROUNDINGS)
        )

    def _drain(self) -> None:
        """Bring what is in the spool to the database, if that is back."""
        now = time.monotonic()
        is_due = not self._spool.is_empty or (self._spool.n_unread and now >= self._retry_unread_at)
        if not is_due or now < self._retry_at:
            return
        n_rows, began = 0, time.monotonic()
        try:
            for rows in self._spool.drain():
                n_rows += len(rows) - len(self._store_rows(rows))
                self.thread.note_progress()
                if time.monotonic() - began > self._flush_sec:
                    # What has come meanwhile goes behind the rest: a durable answer waits for a
                    # disk, and not for all that is older. When little is left to drain nothing
                    # goes behind it any more, and then the spool is empty.
                    self._write_groups()
                    began = time.monotonic()
        except Exception as error:  # As when it is written directly.
            self._note_away(error)
        self._retry_unread_at = time.monotonic() + _RETRY_UNREAD_SEC
        self.counters.drained += n_rows
        if n_rows:
            _log.info("spool_drained", n_rows=n_rows, is_empty=self._spool.is_empty)

    def _note_away(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + _RETRY_SEC
        _log.warning("log_database_away", reason=type(error).__name__)

    def _drop(self, n_rows: int, reason: str) -> None:
        if not n_rows:
            return
        self.counters.dropped += n_rows
        now = time.monotonic()
        if now - self._said_at >= _SAY_AGAIN_SEC:
            self._said_at = now
            self._say_dropped(reason)

    def _say_dropped(self, reason: str) -> None:
        self._n_said = self.counters.dropped
        _log.error("predictions_not_logged", n_dropped=self._n_said, reason=reason)


def _tell(group: Sequence[_Buffered], lost: Sequence[LoggedRow]) -> None:
    """Say of each record whether it is on disk."""
    gone = set(map(id, lost))
    for one in group:
        if one.when_written is not None:
            is_row = isinstance(one.content, LoggedRow)
            one.when_written(is_row and id(one.content) not in gone)
