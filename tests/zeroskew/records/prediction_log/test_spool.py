"""The spool keeps what it took, in order, whatever happens to the process or the disk."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.log_rows import make_row
from zeroskew.records.prediction_log.spool import Spool, SpoolFullError

ROOMY = 1_000_000
OpenSpool = Callable[..., Spool]


@pytest.fixture
def open_spool() -> Iterator[OpenSpool]:
    """What opens a spool; all are closed in the end."""
    with ExitStack() as stack:

        def open_one(folder: Path, max_bytes: int = ROOMY) -> Spool:
            spool = Spool(folder, max_bytes=max_bytes)
            stack.callback(spool.close)
            return spool

        yield open_one


def drain_all(spool: Spool) -> list[int]:
    return [int(row.id[-12:], 16) for rows in spool.drain() for row in rows]


def test_rows_come_back_as_they_were_in_their_order(tmp_path: Path, open_spool: OpenSpool) -> None:
    spool = open_spool(tmp_path / "spool")
    assert spool.is_empty
    groups = [[make_row(1), make_row(2, overrides="{}")], [make_row(3, degraded=True)]]
    for rows in groups:
        spool.append(rows)
    assert not spool.is_empty
    assert list(spool.drain()) == groups
    assert spool.is_empty
    assert list(spool.drain()) == []


def test_who_stops_early_finds_the_rest_again(tmp_path: Path, open_spool: OpenSpool) -> None:
    spool = open_spool(tmp_path)
    for number in range(4):
        spool.append([make_row(number)])
    for taken, _ in enumerate(spool.drain(), start=1):
        if taken == 2:
            break
    assert not spool.is_empty
    spool.append([make_row(4)])
    assert drain_all(spool) == [0, 1, 2, 3, 4]


def test_a_process_that_died_leaves_its_rows_and_a_torn_tail(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    dead = os.fork()
    if dead == 0:
        spool = open_spool(tmp_path)
        spool.append([make_row(1)])
        spool.append([make_row(2)])
        os._exit(0)
    os.waitpid(dead, 0)
    (segment,) = tmp_path.glob("*.spool")
    segment.write_bytes(segment.read_bytes()[:-5])
    later = open_spool(tmp_path)
    assert not later.is_empty
    later.append([make_row(3)])
    assert drain_all(later) == [1, 3]
    assert list(tmp_path.glob("*.spool")) == []


def test_a_damaged_frame_ends_its_segment(tmp_path: Path, open_spool: OpenSpool) -> None:
    spool = open_spool(tmp_path)
    spool.append([make_row(1)])
    spool.append([make_row(2)])
    spool.close()
    (segment,) = tmp_path.glob("*.spool")
    content = bytearray(segment.read_bytes())
    content[-20] ^= 1
    segment.write_bytes(content)
    assert drain_all(open_spool(tmp_path)) == [1]


def test_a_segment_of_a_living_process_is_left_to_it(tmp_path: Path, open_spool: OpenSpool) -> None:
    mine, other = open_spool(tmp_path), open_spool(tmp_path)
    mine.append([make_row(1)])
    other.append([make_row(2)])
    assert drain_all(other) == [2]
    assert drain_all(mine) == [1]


def test_there_is_a_bound_and_what_is_beyond_is_refused_whole(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    spool = open_spool(tmp_path, 800)
    spool.append([make_row(1)])
    with pytest.raises(SpoolFullError):
        spool.append([make_row(2), make_row(3)])
    assert drain_all(spool) == [1]
    spool.append([make_row(4)])
    assert drain_all(spool) == [4]


def test_a_folder_that_cannot_be_made_is_no_room(tmp_path: Path, open_spool: OpenSpool) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolFullError):
        open_spool(tmp_path / "file" / "spool").append([make_row(1)])


def test_a_disk_that_takes_a_part_of_a_frame_has_no_room(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    spool = open_spool(tmp_path)
    spool.append([make_row(1)])
    (segment,) = tmp_path.rglob("*.spool")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As a full disk does, the kernel then writes up to the limit, and says how much that was.
    resource.setrlimit(resource.RLIMIT_FSIZE, (segment.stat().st_size + 100, hard))
    try:
        with pytest.raises(SpoolFullError):
            spool.append([make_row(2)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    spool.append([make_row(3)])
    assert drain_all(spool) == [1, 3]


def test_a_frame_that_cannot_be_taken_back_hides_none_behind_it(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    spool = open_spool(tmp_path)
    spool.append([make_row(1)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    (segment,) = tmp_path.glob("*.spool")
    resource.setrlimit(resource.RLIMIT_FSIZE, (segment.stat().st_size + 10, hard))
    descriptor = spool._segment.fileno()  # type: ignore[union-attr]  # it has one
    kept = os.dup(descriptor)
    try:
        # A file that is open for nothing but reading cannot be cut, nor written.
        with segment.open("rb") as unwritable:
            os.dup2(unwritable.fileno(), descriptor)
        with pytest.raises(SpoolFullError):
            spool.append([make_row(2)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        os.close(kept)
    spool.append([make_row(3)])
    assert drain_all(spool) == [1, 3]
    assert spool.is_empty


def test_what_is_appended_while_it_drains_comes_next(tmp_path: Path, open_spool: OpenSpool) -> None:
    spool = open_spool(tmp_path)
    spool.append([make_row(1)])
    spool.append([make_row(2)])
    seen = []
    for rows in spool.drain():
        seen += rows
        if len(seen) == 1:
            spool.append([make_row(3)])
    assert seen == [make_row(1), make_row(2)]
    assert not spool.is_empty
    assert drain_all(spool) == [3]
    assert spool.is_empty
