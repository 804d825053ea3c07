"""Time that another process moves."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from zeroskew.contract.time.moved_clock import ClockMover, MovedClock


def test_a_clock_says_what_its_mover_says(tmp_path: Path) -> None:
    instants = [
        datetime(2013, 10, 1, 12, 0, 0, 5, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ]
    mover = ClockMover(tmp_path / "clock", instants[0])
    clock = MovedClock(tmp_path / "clock")
    for instant in instants:
        mover.move(instant)
        assert clock.now() == instant
    assert MovedClock(tmp_path / "clock").now() == instants[-1]


@pytest.mark.parametrize("content", [None, b"", b"short"])
def test_what_is_no_clock_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "clock").write_bytes(content)
    with pytest.raises(ValueError, match=r"Got no clock in .*, but expected a file of 8 bytes"):
        MovedClock(tmp_path / "clock")
