"""Commands go by the clock that the service goes by."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from training.cli.options import or_now
from training.project.service_clock import read_clock
from zeroskew.contract.errors.project import SpecError
from zeroskew.contract.time.moved_clock import ClockMover

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["2013-10-01T12:00:00Z", "2013-10-01T17:30:00+05:30", "2013-10-01T12:00:00", "2013-10-01 12"],
)
def test_the_clock_is_an_instant_and_without_a_zone_in_utc(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("ZEROSKEW_CLOCK", text)
    assert (read_clock(), or_now(None)) == (NOON, NOON)
    assert or_now(datetime(2013, 10, 2, tzinfo=UTC)) == datetime(2013, 10, 2, tzinfo=UTC)


def test_the_clock_may_be_moved_by_another_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZEROSKEW_CLOCK_FILE", str(tmp_path / "clock"))
    mover = ClockMover(tmp_path / "clock", NOON)
    assert read_clock() == NOON
    mover.move(NOON.replace(hour=13))
    assert read_clock() == NOON.replace(hour=13)


def test_the_clock_on_the_wall_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZEROSKEW_CLOCK", raising=False)
    before = datetime.now(UTC)
    assert before <= read_clock() <= datetime.now(UTC)


@pytest.mark.parametrize(
    "text", ["", "now", "2013-10-32T00:00:00Z", "1380629820", "0001-01-01T00:00:00+14:00"]
)
def test_what_is_no_instant_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ZEROSKEW_CLOCK", text)
    with pytest.raises(SpecError, match=re.escape(f"Got ZEROSKEW_CLOCK={text}, but")):
        read_clock()


def test_a_file_that_is_no_clock_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZEROSKEW_CLOCK_FILE", str(tmp_path / "gone"))
    with pytest.raises(SpecError, match="expected a file of 8 bytes"):
        read_clock()
