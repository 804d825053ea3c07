"""What the request path tells the prediction log, and what it asks of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, Literal

from api.predictions.log_writer import LogCounters, LogWriter
from api.predictions.logged_rows import PredictionRecord
from zeroskew.contract.errors.not_found import UnknownPredictionError
from zeroskew.contract.errors.service import LogUnavailableError
from zeroskew.contract.log_policy import LogPolicy
from zeroskew.contract.settings import Settings
from zeroskew.records.prediction_log.log_mask import MaskFinder
from zeroskew.records.prediction_log.log_store import LogStore, open_log_store
from zeroskew.records.prediction_log.logged_row import LoggedRow
from zeroskew.records.prediction_log.spool import Spool

__all__ = [
    "PREDICTION_ID",
    "PredictionLog",
    "is_sampled",
    "open_prediction_log",
    "unknown_prediction",
]

PREDICTION_ID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
"""What the id of an answer looks like, a UUID version 7, as a regular expression."""

_SAMPLED_BITS: Final = 32


class PredictionLog:
    """Keeps predictions by each model's policy.

    Parameters
    ----------
    writer
        Writes them; ``None`` where nothing is kept.
    reader
        The database, for reading; ``None`` where there is none that keeps predictions.
    policy
        For every model that has none of its own.
    policies
        Models' own policies, by name.
    durable_sec
        How long a ``durable`` prediction waits to be on disk.
    """

    def __init__(
        self,
        *,
        writer: LogWriter | None,
        reader: LogStore | None,
        policy: LogPolicy,
        policies: Mapping[str, LogPolicy],
        durable_sec: float = 2.0,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._reading = threading.Lock()
        self._policy = policy
        self._policies = policies
        self._durable_sec = durable_sec

    @property
    def n_failures(self) -> int:
        """How many turns of the writer have raised since the start."""
        return 0 if self._writer is None else self._writer.thread.n_failures

    @property
    def trouble(self) -> str | None:
        """Why nothing is written, where that keeps predictions from being answered."""
        if self._writer is None:
            return None
        if self._writer.is_stuck and self._policy.mode == "durable":
            return "neither the database nor the spool takes a row"
        return self._writer.thread.trouble

    @property
    def counters(self) -> LogCounters:
        """What became of the rows so far."""
        return LogCounters() if self._writer is None else self._writer.counters

    @property
    def n_waiting(self) -> int:
        """How many rows wait to be written."""
        return 0 if self._writer is None else self._writer.n_waiting

    def measure_spool_bytes(self) -> int:
        """Return how large the spool is. It looks at the disk."""
        return 0 if self._writer is None else self._writer.measure_spool_bytes()

    def record_failure(self, record: PredictionRecord) -> None:
        """Keep a prediction that failed, where there is room; its caller has an error already."""
        if self._writer is not None and self._find_mode(record) != "off":
            self._writer.put(record)

    async def record(self, record: PredictionRecord) -> None:
        """Keep a prediction; only where its model is ``durable`` this waits.

        Which ones are kept of a sample is told by their ids alone.

        Raises
        ------
        LogUnavailableError
            If the model is ``durable``, and the prediction cannot be kept, or is not in time.
        """
        if self._writer is None:
            return
        mode = self._find_mode(record)
        if mode == "off":
            return
        if mode == "buffered":
            self._writer.put(record)
            return
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()

        def tell(is_on_disk: bool) -> None:
            with contextlib.suppress(RuntimeError):  # The loop may be closed by now.
                loop.call_soon_threadsafe(_settle, written, is_on_disk)

        is_kept = False
        if self._writer.put(record, tell):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._durable_sec):
                    is_kept = await written
        if not is_kept:
            raise LogUnavailableError(
                "The prediction cannot be logged, and this model answers only what is."
            )

    def _find_mode(self, record: PredictionRecord) -> Literal["buffered", "durable", "off"]:
        """Return how a record is kept: by its model's policy, and not at all beyond its sample."""
        policy = self._policies.get(record.model.name, self._policy)
        return policy.mode if is_sampled(record.id, policy.sampling) else "off"

    def read(self, prediction_id: str) -> list[LoggedRow]:
        """Return the rows of a prediction in their order. It blocks; any thread may call it.

        Raises
        ------
        UnknownPredictionError
            If there are none.
        LogUnavailableError
            If the database cannot be read.
        """
        with self._lend_reader() as reader:
            rows = reader.read(prediction_id)
        if not rows:
            raise unknown_prediction(prediction_id)
        return rows

    def read_requests(self, model: str, until: datetime, limit: int) -> list[tuple[int, str]]:
        """Return version and request of what a model answered, as `LogStore` does. It blocks.

        Raises
        ------
        LogUnavailableError
            If the database cannot be read.
        """
        with self._lend_reader() as reader:
            return reader.read_requests(model, until, limit)

    @contextlib.contextmanager
    def _lend_reader(self) -> Iterator[LogStore]:
        if self._reader is None:
            raise LogUnavailableError("The prediction log is in no database that can be read.")
        try:
            with self._reading:
                yield self._reader
        except self._reader.failures as error:
            raise LogUnavailableError("The prediction log cannot be read.") from error

    def close(self) -> None:
        """Write what is buffered, and close the database."""
        if self._writer is not None:
            self._writer.stop()
        if self._reader is not None:
            self._reader.close()


def open_prediction_log(settings: Settings) -> PredictionLog:
    """Open the log that `settings` describe, and begin to write.

    Raises
    ------
    ValueError
        If predictions are to be kept in a database that cannot keep them.
    """
    policy = settings.log_policy
    policies = settings.log_models
    if all(one.mode == "off" for one in (policy, *policies.values())):
        return PredictionLog(writer=None, reader=None, policy=policy, policies=policies)
    stores = [
        open_log_store(settings.database_url, timeout_sec=settings.log_timeout_sec)
        for _ in range(2)
    ]
    writer = LogWriter(
        store=stores[0],
        spool=Spool(settings.log_spool_dir, max_bytes=settings.log_spool_max_bytes),
        max_rows=settings.log_buffer_rows,
        flush_sec=settings.log_flush_sec,
        masks=MaskFinder(policy, policies, (settings.log_hash_key or "").encode()),
    )
    writer.start()
    return PredictionLog(
        writer=writer,
        reader=stores[1],
        policy=policy,
        policies=policies,
        durable_sec=settings.request_timeout_sec,
    )


def is_sampled(prediction_id: str, share: float) -> bool:
    """Tell whether an id is of a share of all ids; the id's random bits alone decide."""
    if share >= 1.0:
        return True
    return int(prediction_id[-8:], 16) < share * (1 << _SAMPLED_BITS)


def _settle(future: asyncio.Future[bool], is_on_disk: bool) -> None:
    if not future.done():
        future.set_result(is_on_disk)


def unknown_prediction(prediction_id: str) -> UnknownPredictionError:
    """Return the error for an id that the log does not have."""
    return UnknownPredictionError(
        f"Got id {prediction_id}, but the log has no prediction of that id."
    )
