"""The writer loses nothing that a database or a spool could take, and doubles nothing."""

import asyncio
import json
import resource
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from api.predictions.log_writer import LogWriter
from api.predictions.prediction_log import PredictionLog
from api.predictions.replay import replay_row
from tests.support.predictions import load_sum_model, make_record
from tests.support.waiting import wait_until
from zeroskew.contract.errors.service import LogUnavailableError
from zeroskew.contract.log_policy import LogPolicy
from zeroskew.model.load_gate import ActiveModel
from zeroskew.records.prediction_log.log_mask import MaskFinder
from zeroskew.records.prediction_log.logged_row import LoggedRow
from zeroskew.records.prediction_log.spool import Spool


class ScriptedStore:
    """A store in memory that is away when told."""

    failures = (ConnectionError, ValueError)
    refusals = (ValueError,)

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], LoggedRow] = {}
        self.is_away = False
        self.error: Exception | None = None
        self.error_of_bad: Exception = ValueError()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def write(self, rows: Sequence[LoggedRow]) -> None:
        self.goes_on.wait()
        if self.is_away:
            raise ConnectionError
        if self.error is not None:
            raise self.error
        if any(row.caller == "bad" for row in rows):
            raise self.error_of_bad
        for row in rows:
            self.rows.setdefault((row.id, row.part), row)

    def read(self, prediction_id: str) -> list[LoggedRow]:
        return [row for (found, _), row in self.rows.items() if found == prediction_id]

    def read_requests(self, model: str, until: datetime, limit: int) -> list[tuple[int, str]]:
        raise NotImplementedError

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ActiveModel:
    return load_sum_model(tmp_path_factory.mktemp("model"))


def open_writer(
    folder: Path,
    store: ScriptedStore,
    *,
    max_rows: int = 100,
    spool_bytes: int = 1_000_000,
    stop_sec: float = 30.0,
) -> LogWriter:
    spool = Spool(folder / "spool", max_bytes=spool_bytes)
    writer = LogWriter(
        store=store,
        spool=spool,
        max_rows=max_rows,
        flush_sec=0.01,
        masks=MaskFinder(LogPolicy(), {}),
        stop_sec=stop_sec,
    )
    writer.start()
    return writer


def test_rows_say_what_was_asked_given_and_answered(model: ActiveModel, tmp_path: Path) -> None:
    store = ScriptedStore()
    writer = open_writer(tmp_path, store)
    record = make_record(model, 3, n_rows=2)
    assert writer.put(record)
    writer.stop()
    (row,) = store.read(record.id)
    assert (row.part, row.n_rows, list(row.list_numbers())) == (0, 2, [0, 1])
    assert json.loads(row.request) == [
        ["UA", "EWR", None, 3, 1.5, False, 0.0],
        ["UA", "EWR", None, 3, 1.5, False, 1.0],
    ]
    assert row.features == np.array([[3] * 6, [4] * 6], "<f4").tobytes()
    assert (len(row.statuses), len(row.event_times)) == (8, 64)
    assert [one.is_equal for one in replay_row(model, row)] == [True, True]
    changed = row._replace(output=row.output[8:] + row.output[8:], numbers="[3,5]")
    assert [(one.row, one.is_equal) for one in replay_row(model, changed)] == [
        (3, False),
        (5, True),
    ]


def test_rows_wait_in_the_spool_and_arrive_in_their_order(
    model: ActiveModel, tmp_path: Path
) -> None:
    store = ScriptedStore()
    writer = open_writer(tmp_path, store)
    store.is_away = True
    for number in range(20):
        writer.put(make_record(model, number))
        time.sleep(0.002)
    wait_until(lambda: writer.counters.spooled == 20)
    store.is_away = False
    for number in range(20, 30):
        writer.put(make_record(model, number))
    wait_until(lambda: len(store.rows) == 30)
    writer.stop()
    assert [int(key[-12:], 16) for key, _ in store.rows] == list(range(30))
    counters = writer.counters
    assert (counters.recorded, counters.dropped) == (30, 0)
    assert counters.written + counters.spooled == 30
    assert counters.drained == counters.spooled


def test_what_a_stopped_process_left_is_written_by_the_next(
    model: ActiveModel, tmp_path: Path
) -> None:
    store = ScriptedStore()
    store.is_away = True
    writer = open_writer(tmp_path, store)
    writer.put(make_record(model, 1))
    writer.stop()
    assert store.rows == {}
    store.is_away = False
    later = open_writer(tmp_path, store)
    wait_until(lambda: len(store.rows) == 1)
    later.stop()


def test_what_has_no_room_is_dropped_and_counted(model: ActiveModel, tmp_path: Path) -> None:
    store = ScriptedStore()
    writer = open_writer(tmp_path, store, max_rows=5)
    assert not writer.put(make_record(model, 1, n_rows=6))
    assert writer.put(make_record(model, 2, n_rows=5))
    writer.stop()
    assert (writer.counters.recorded, writer.counters.dropped, len(store.rows)) == (2, 1, 1)
    store.is_away = True
    full = open_writer(tmp_path / "full", store, spool_bytes=10)
    full.put(make_record(model, 3))
    full.stop()
    assert full.counters.dropped == 1


def test_a_row_that_the_database_refuses_stops_no_others(
    model: ActiveModel, tmp_path: Path
) -> None:
    store = ScriptedStore()
    store.is_away = True
    writer = open_writer(tmp_path, store)
    for number in range(5):
        writer.put(make_record(model, number, caller="bad" if number == 2 else ""))
    wait_until(lambda: writer.counters.spooled == 5)
    store.is_away = False
    wait_until(lambda: len(store.rows) == 4)
    writer.put(make_record(model, 5, caller="bad"))
    writer.put(make_record(model, 6))
    writer.stop()
    assert len(store.rows) == 5
    assert (writer.counters.dropped, writer.counters.drained) == (2, 4)


def test_durable_predictions_wait_for_the_disk_and_fail_without_it(
    model: ActiveModel, tmp_path: Path
) -> None:
    store = ScriptedStore()
    writer = open_writer(tmp_path, store, spool_bytes=2_000)
    log = PredictionLog(writer=writer, reader=store, policy=LogPolicy(mode="durable"), policies={})

    async def record(number: int, n_rows: int = 1) -> None:
        await log.record(make_record(model, number, n_rows))

    asyncio.run(record(1))
    assert len(store.rows) == 1
    store.is_away = True
    asyncio.run(record(2))  # The spool is a disk, too.
    with pytest.raises(LogUnavailableError):
        asyncio.run(record(3, n_rows=100))
    store.is_away = False
    wait_until(lambda: len(store.rows) == 2)
    log.close()


UNFORESEEN = [
    OSError(24, "Too many open files"),
    OSError(28, "No space left on device"),
    MemoryError(),
    RuntimeError("can't start new thread"),
    ConnectionError(),
]


@pytest.mark.parametrize("error", UNFORESEEN, ids=repr)
def test_an_error_that_nobody_foresaw_leaves_rows_to_the_spool(
    model: ActiveModel, tmp_path: Path, error: Exception
) -> None:
    store = ScriptedStore()
    store.error = error
    writer = open_writer(tmp_path, store)
    for number in range(5):
        writer.put(make_record(model, number))
    wait_until(lambda: writer.counters.spooled == 5)
    store.error = None
    wait_until(lambda: len(store.rows) == 5)
    writer.stop()
    assert (writer.counters.drained, writer.counters.dropped) == (5, 0)


@pytest.mark.parametrize("error", [KeyError("x"), OverflowError(), UnicodeError(), TypeError()])
def test_a_row_that_fails_by_an_unforeseen_error_stops_no_others(
    model: ActiveModel, tmp_path: Path, error: Exception
) -> None:
    store = ScriptedStore()
    store.error_of_bad = error
    writer = open_writer(tmp_path, store)
    told: list[bool] = []
    for number in range(4):
        caller = "bad" if number == 1 else ""
        writer.put(make_record(model, number, caller=caller), told.append)
    wait_until(lambda: len(told) == 4)
    writer.stop()
    # Who waits for a row that is on no disk is told so.
    assert told == [True, False, True, True]
    assert (writer.counters.written, writer.counters.dropped, len(store.rows)) == (3, 1, 3)


def make_file_of(folder: Path) -> None:
    folder.rename(folder.with_name("kept"))
    folder.write_text("a file where the folder should be")


def hide_segment(folder: Path) -> None:
    """Put a folder where a segment of an earlier process should be."""
    (folder / "00000000000000000001-0.spool").mkdir()


def leave_segment_of_another_release(folder: Path) -> None:
    payload = json.dumps([["a", "row", "of", "other", "columns"]]).encode()
    frame = len(payload).to_bytes(4, "little") + zlib.crc32(payload).to_bytes(4, "little")
    (folder / "00000000000000000001-0.spool").write_bytes(frame + payload)


def leave_segment_that_is_no_json(folder: Path) -> None:
    frame = (3).to_bytes(4, "little") + zlib.crc32(b"???").to_bytes(4, "little")
    (folder / "00000000000000000001-0.spool").write_bytes(frame + b"???")


def leave_link_to_nowhere(folder: Path) -> None:
    (folder / "00000000000000000001-0.spool").symlink_to(folder / "nowhere")


@pytest.mark.parametrize(
    ("break_spool", "n_dropped"),
    [
        (make_file_of, 5),
        (hide_segment, 0),
        (leave_segment_of_another_release, 0),
        (leave_segment_that_is_no_json, 0),
        (leave_link_to_nowhere, 0),
    ],
)
def test_whatever_is_wrong_with_the_spool_no_row_is_lost_uncounted(
    model: ActiveModel, tmp_path: Path, break_spool: Callable[[Path], None], n_dropped: int
) -> None:
    store = ScriptedStore()
    (tmp_path / "spool").mkdir()
    store.is_away = True
    writer = open_writer(tmp_path, store)
    break_spool(tmp_path / "spool")
    for number in range(5):
        writer.put(make_record(model, number))
    wait_until(lambda: writer.counters.spooled + writer.counters.dropped == 5)
    assert writer.counters.dropped == n_dropped
    store.is_away = False
    wait_until(lambda: len(store.rows) == 5 - n_dropped and not writer.is_stuck)
    writer.put(make_record(model, 5))
    wait_until(lambda: len(store.rows) == 6 - n_dropped)
    writer.stop()
    assert (writer.counters.recorded, writer.thread.n_failures) == (6, 0)


def test_a_process_without_files_keeps_its_rows_or_counts_them(
    model: ActiveModel, tmp_path: Path
) -> None:
    store = ScriptedStore()
    store.is_away = True
    writer = open_writer(tmp_path, store)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        writer.put(make_record(model, 0))
        wait_until(lambda: writer.counters.dropped == 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert writer.is_stuck
    wait_until(lambda: not writer.is_stuck)  # It finds out by itself.
    writer.put(make_record(model, 1))
    wait_until(lambda: writer.counters.spooled == 1)
    # Now nothing of it can be read, until there are files again.
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        store.is_away = False
        time.sleep(0.7)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    writer.put(make_record(model, 2))
    wait_until(lambda: len(store.rows) == 2)
    writer.stop()
    counters = writer.counters
    assert (counters.recorded, counters.written + counters.drained, counters.dropped) == (3, 2, 1)


def test_a_database_that_hangs_holds_up_no_prediction_and_no_stop(
    model: ActiveModel, tmp_path: Path
) -> None:
    store = ScriptedStore()
    store.goes_on.clear()
    writer = open_writer(tmp_path, store, stop_sec=0.1)
    policy = LogPolicy(mode="durable")
    log = PredictionLog(writer=writer, reader=store, policy=policy, policies={}, durable_sec=0.1)
    for number in range(3):
        with pytest.raises(LogUnavailableError):
            asyncio.run(log.record(make_record(model, number)))
    with structlog.testing.capture_logs() as logged:
        log.close()
    assert (writer.counters.recorded, writer.counters.dropped) == (3, 3)
    said = [one["n_dropped"] for one in logged if one["event"] == "predictions_not_logged"]
    assert said[-1] == 3
    with pytest.raises(LogUnavailableError):
        asyncio.run(log.record(make_record(model, 4)))
    assert writer.counters.dropped == 4
    store.goes_on.set()


def test_a_sample_is_told_by_the_ids_alone(model: ActiveModel, tmp_path: Path) -> None:
    store = ScriptedStore()
    writer = open_writer(tmp_path, store, max_rows=10_000)
    policies = {"arrival_delay": LogPolicy(sampling=0.25)}
    log = PredictionLog(writer=writer, reader=store, policy=LogPolicy(), policies=policies)

    async def record_many() -> None:
        for number in range(0, 1 << 32, 1 << 24):
            await log.record(make_record(model, number))

    asyncio.run(record_many())
    log.close()
    assert len(store.rows) == 64


def test_a_durable_prediction_does_not_wait_for_all_that_is_older(
    model: ActiveModel, tmp_path: Path
) -> None:
    store = ScriptedStore()
    store.is_away = True
    writer = open_writer(tmp_path, store)
    for number in range(3):
        writer.put(make_record(model, number))
        wait_until(lambda: writer.counters.spooled == writer.counters.recorded)
    told: list[bool] = []
    write = store.write

    def write_and_put(rows: Any) -> None:
        time.sleep(0.3)
        write(rows)
        if not told and not writer._buffer:
            writer.put(make_record(model, 9), told.append)

    store.write = write_and_put  # type: ignore[method-assign]  # it stands in for a slow database
    store.is_away = False
    wait_until(lambda: bool(told))
    assert len(store.rows) < 3, "it waited for the spool to be empty"
    wait_until(lambda: len(store.rows) == 4)
    writer.stop()
    assert told == [True]
    ids = [row.id for row in store.rows.values()]
    assert ids == [make_record(model, number).id for number in (0, 1, 2, 9)]
