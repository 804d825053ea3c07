"""Part files: whole or absent, never doubled, whole seconds."""

import re
import resource
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.dataset as ds
import pytest
from pipelines.lake import append_batch, append_quarantine

from tests.support.waiting import wait_until
from zeroskew.contract.errors.project import PrepareError

JANUARY = datetime(2013, 1, 31, 23, 59, 59, tzinfo=UTC)


def rows(*events: datetime, value: int = 1, lag: timedelta = timedelta(minutes=5)) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "value": [value] * len(events),
            "event_timestamp": events,
            "created": [event + lag for event in events],
        },
        schema_overrides={
            "event_timestamp": pl.Datetime("us", "UTC"),
            "created": pl.Datetime("us", "UTC"),
        },
    )


def part_files(lake: Path) -> list[str]:
    paths = sorted(str(path.relative_to(lake)) for path in lake.rglob("*.parquet"))
    return [re.sub("-[0-9a-f]{16}[.]", "-HASH.", path) for path in paths]


def read(lake: Path) -> pl.DataFrame:
    return pl.read_parquet(lake / "table").sort("event_timestamp")


def test_each_month_gets_its_part_file(tmp_path: Path) -> None:
    parts = append_batch(
        tmp_path, "table", rows(JANUARY, JANUARY + timedelta(seconds=1)), batch="b1"
    )
    assert parts == 2
    assert part_files(tmp_path) == [
        "table/year=2013/month=01/part-b1-HASH.parquet",
        "table/year=2013/month=02/part-b1-HASH.parquet",
    ]
    assert read(tmp_path).select("year", "month").rows() == [(2013, 1), (2013, 2)]


def test_timestamps_are_utc_microseconds(tmp_path: Path) -> None:
    append_batch(tmp_path, "table", rows(JANUARY), batch="b1")
    schema = ds.dataset(tmp_path / "table", partitioning="hive").schema
    assert str(schema.field("event_timestamp").type) == "timestamp[us, tz=UTC]"
    assert str(schema.field("created").type) == "timestamp[us, tz=UTC]"


def test_event_times_are_rounded_up_to_whole_seconds(tmp_path: Path) -> None:
    microsecond = timedelta(microseconds=1)
    append_batch(
        tmp_path,
        "table",
        rows(JANUARY - timedelta(seconds=1), JANUARY - microsecond, JANUARY + microsecond),
        batch="b1",
    )
    assert read(tmp_path)["event_timestamp"].to_list() == [
        JANUARY - timedelta(seconds=1),
        JANUARY,
        JANUARY + timedelta(seconds=1),
    ]
    # The last one was rounded into February, and that is where it stands.
    assert read(tmp_path)["month"].to_list() == [1, 1, 2]


def test_a_batch_appended_again_replaces_itself(tmp_path: Path) -> None:
    february = JANUARY + timedelta(days=1)
    append_batch(tmp_path, "table", rows(JANUARY, february, value=1), batch="b1")
    append_batch(tmp_path, "table", rows(february, value=2), batch="b2")
    append_batch(tmp_path, "table", rows(JANUARY, value=3), batch="b1")
    assert read(tmp_path).select("event_timestamp", "value").rows() == [(JANUARY, 3), (february, 2)]


def test_no_rows_leave_no_file(tmp_path: Path) -> None:
    assert append_batch(tmp_path, "table", rows(), batch="b1") == 0
    assert part_files(tmp_path) == []


@pytest.mark.parametrize(
    "unfit",
    [
        rows(JANUARY).with_columns(pl.col("event_timestamp").dt.replace_time_zone(None)),
        rows(JANUARY).with_columns(pl.col("created").dt.cast_time_unit("ns")),
        rows(JANUARY).with_columns(event_timestamp=pl.lit(None, pl.Datetime("us", "UTC"))),
        rows(JANUARY, lag=timedelta(seconds=-1)),
    ],
    ids=["naive", "nanoseconds", "null", "created before its event"],
)
def test_unfit_timestamps_are_refused(tmp_path: Path, unfit: pl.DataFrame) -> None:
    with pytest.raises(PrepareError, match="but expected"):
        append_batch(tmp_path, "table", unfit, batch="b1")
    assert part_files(tmp_path) == []


@pytest.mark.parametrize("batch", ["", "b1-2", "../b1", "b*"])
def test_a_batch_that_could_be_taken_for_another_is_refused(tmp_path: Path, batch: str) -> None:
    with pytest.raises(PrepareError, match="letters, digits and underscores"):
        append_batch(tmp_path, "table", rows(JANUARY), batch=batch)
    with pytest.raises(PrepareError, match="letters, digits and underscores"):
        append_quarantine(tmp_path, "table", rows(JANUARY), batch=batch)


def test_a_quarantine_is_replaced_and_emptied(tmp_path: Path) -> None:
    broken = pl.DataFrame({"month": ["13"], "reasons": [["month fails in_range(1, 12)"]]})
    append_quarantine(tmp_path, "flights", broken, batch="b1")
    append_quarantine(tmp_path, "flights", broken, batch="b1")
    assert pl.read_parquet(tmp_path / "_quarantine" / "flights").equals(broken)
    append_quarantine(tmp_path, "flights", broken.clear(), batch="b1")
    assert part_files(tmp_path) == []


def test_the_same_rows_again_touch_no_file(tmp_path: Path) -> None:
    append_batch(tmp_path, "table", rows(JANUARY), batch="b1")
    (part,) = (tmp_path / "table").rglob("*.parquet")
    before = part.stat()
    append_batch(tmp_path, "table", rows(JANUARY), batch="b1")
    assert list((tmp_path / "table").rglob("*.parquet")) == [part]
    assert (part.stat().st_ino, part.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


WRITER = """
import itertools, sys
from datetime import UTC, datetime
from pathlib import Path
import polars as pl
from pipelines.lake import append_batch
moment = pl.lit(datetime(2013, 1, 1, tzinfo=UTC), pl.Datetime("us", "UTC"))
rows = pl.select(value=pl.int_range(200_000), event_timestamp=moment)
for number in itertools.count():
    append_batch(Path(sys.argv[1]), "table", rows, batch=f"b{number}")
"""


def test_a_reader_sees_whole_files_while_a_writer_writes_and_is_killed(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        env={"PYTHONPATH": ":".join(sys.path), "POLARS_MAX_THREADS": "1"},
    )
    try:
        wait_until(lambda: bool(part_files(tmp_path / "table")), what="a file of the writer")
        heights = [pl.read_parquet(tmp_path / "table").height for _ in range(20)]
    finally:
        writer.kill()
        writer.wait()
    heights.append(pl.read_parquet(tmp_path / "table").height)
    assert heights[0] > 0
    assert heights == sorted(heights)
    assert all(height % 200_000 == 0 for height in heights)


def test_a_half_written_file_of_a_killed_writer_is_not_read(tmp_path: Path) -> None:
    append_batch(tmp_path, "table", rows(JANUARY), batch="b1")
    staging = next(path for path in tmp_path.iterdir() if path.name != "table")
    assert list(staging.iterdir()) == []
    (staging / "half.parquet").write_bytes(b"PAR1")
    assert read(tmp_path).height == 1
    append_batch(tmp_path, "table", rows(JANUARY, value=2), batch="b1")
    assert read(tmp_path)["value"].to_list() == [2]
    assert list(staging.iterdir()) == []


REPLACER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import polars as pl
from pipelines.lake import append_batch
lake, first, last = Path(sys.argv[1]), *map(int, sys.argv[2:])
moments = pl.datetime_range(datetime(2013, 1, 15), datetime(2013, 12, 15), "1mo", eager=True)
for value in range(first, last):
    rows = pl.DataFrame({"event_timestamp": moments.dt.cast_time_unit("us")}).with_columns(
        pl.col("event_timestamp").dt.replace_time_zone("UTC"), value=pl.lit(value)
    )
    append_batch(lake, "table", rows, batch="b1")
"""


def replacer(lake: Path, first: int, last: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", REPLACER, str(lake), str(first), str(last)],
        env={"PYTHONPATH": ":".join(sys.path), "POLARS_MAX_THREADS": "1"},
        stderr=subprocess.PIPE,
    )


def test_two_writers_that_replace_a_batch_at_once_leave_the_rows_of_one(tmp_path: Path) -> None:
    writers = [replacer(tmp_path, first, first + 20) for first in (100, 200)]
    assert [writer.communicate()[1] for writer in writers] == [b"", b""]
    values = read(tmp_path)["value"]
    assert len(values) == 12
    assert values.unique().to_list() in ([119], [219])


def test_a_writer_killed_while_it_replaces_is_mended_by_the_next(tmp_path: Path) -> None:
    append_batch(tmp_path, "table", rows(JANUARY), batch="b1")
    writer = replacer(tmp_path, 0, 1_000_000)
    wait_until(lambda: len(part_files(tmp_path)) > 1, what="a second file")
    writer.kill()
    writer.communicate()
    assert len(part_files(tmp_path)) > 1
    append_batch(tmp_path, "table", rows(JANUARY, value=7), batch="b1")
    assert read(tmp_path)["value"].to_list() == [7]


def test_a_write_that_the_disk_refuses_names_the_file_and_leaves_none(tmp_path: Path) -> None:
    append_batch(tmp_path, "table", rows(JANUARY), batch="b1")
    before = part_files(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match=r"part-b2-.*parquet"):
            append_batch(tmp_path, "table", rows(JANUARY), batch="b2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert part_files(tmp_path) == before
