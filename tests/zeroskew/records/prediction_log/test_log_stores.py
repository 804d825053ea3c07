"""Both databases take rows once, in groups, and give them back as they were."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import DATABASES, open_database_url
from tests.support.log_rows import make_row
from zeroskew.records.database.open_database import open_database
from zeroskew.records.prediction_log.log_store import LogStore, open_log_store


@pytest.fixture(params=DATABASES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogStore]:
    with open_database_url(request.param, tmp_path) as url:
        open_database(url).dispose()
        opened = open_log_store(url, timeout_sec=5)
        yield opened
        opened.close()


def test_rows_come_back_as_they_were(store: LogStore) -> None:
    rows = [
        make_row(7, part=0),
        make_row(7, part=1, overrides='[{"a:b":null}]', arm="candidate", degraded=True),
        make_row(7, part=2, role="shadow", answer_id="x", output=b"", event_times=b"\x80" * 8),
        make_row(7, part=3, n_rows=2, numbers="[4,7]", error="deadline_exceeded"),
    ]
    store.write([*rows, make_row(8)])
    assert store.read(make_row(7).id) == rows
    assert store.read(make_row(9).id) == []


def test_what_is_written_twice_is_there_once_as_it_was_first(store: LogStore) -> None:
    store.write([make_row(1), make_row(2)])
    store.write([make_row(2, latency_us=9), make_row(3)])
    assert [store.read(make_row(n).id) for n in (1, 2, 3)] == [[make_row(n)] for n in (1, 2, 3)]


def test_a_group_that_fails_leaves_nothing(store: LogStore) -> None:
    bad = make_row(2)._replace(model=None)  # type: ignore[arg-type]  # it is to fail
    with pytest.raises(store.failures):
        store.write([make_row(1), bad])
    assert store.read(make_row(1).id) == []
    store.write([make_row(1)])
    assert store.read(make_row(1).id) == [make_row(1)]


def test_a_database_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Got mysql…, but expected sqlite:///<path> "):
        open_log_store("mysql://x/y", timeout_sec=1)
