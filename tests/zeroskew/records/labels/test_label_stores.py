"""Both databases keep labels once, each batch whole or not at all."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import DATABASES, open_database_url
from zeroskew.records.database.open_database import open_database
from zeroskew.records.labels.label_row import LabelConflict, LabelRow, hash_label
from zeroskew.records.labels.label_store import LabelStore, open_label_store

PREDICTION = "00000000-0000-7000-8000-000000000001"
NOON = datetime(2013, 10, 1, 12, 0, tzinfo=UTC)


def make_label(key: str, **changes: Any) -> LabelRow:
    values: dict[str, Any] = {
        "idempotency_key": key,
        "body_sha256": "",
        "prediction_id": PREDICTION,
        "row": 0,
        "model": None,
        "entity_key": None,
        "time": None,
        "kind": "number",
        "value_number": 12.5,
        "value_text": None,
        "observed_at": NOON,
        "received_at": NOON,
        "request_id": "abc",
    }
    row = LabelRow(**(values | changes))
    return row._replace(body_sha256=hash_label(row))


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with open_database_url(request.param, tmp_path) as opened:
        open_database(opened).dispose()
        yield opened


@pytest.fixture
def store(url: str) -> Iterator[LabelStore]:
    opened = open_label_store(url, timeout_sec=20)
    yield opened
    opened.close()


def test_labels_come_back_as_they_came(store: LabelStore) -> None:
    rows = [
        make_label("a"),
        make_label("b", kind="boolean", value_number=1.0, row=3),
        make_label("c", kind="class", value_number=None, value_text="late ünd O'Brien"),
    ]
    by_entity = make_label(
        "d", prediction_id=None, row=None, model="delay", entity_key='{"a":1}', time=NOON
    )
    assert store.write([rows, [by_entity]]) == [[True, True, True], [True]]
    assert store.read(PREDICTION) == rows
    assert [row.value for row in rows] == [12.5, True, "late ünd O'Brien"]


def test_the_same_again_changes_nothing(store: LabelStore) -> None:
    first = make_label("a")
    assert store.write([[first]]) == [[True]]
    later = first._replace(received_at=datetime.now(UTC), request_id="other")
    assert store.write([[later, make_label("b")], [later]]) == [[False, True], [False]]
    assert store.read(PREDICTION) == [first, make_label("b")]


def test_a_batch_with_a_taken_key_leaves_nothing_and_the_others_stay(store: LabelStore) -> None:
    store.write([[make_label("a")]])
    conflict = [make_label("b"), make_label("a", value_number=13.0)]
    assert store.write([conflict, [make_label("c")]]) == [LabelConflict("a"), [True]]
    assert [row.idempotency_key for row in store.read(PREDICTION)] == ["a", "c"]
    assert store.write([[make_label("d"), make_label("d", value_number=1.0)]]) == [
        LabelConflict("d")
    ]


def test_writers_of_the_same_key_at_once_write_it_once(url: str) -> None:
    def write(number: int) -> list[bool]:
        store = open_label_store(url, timeout_sec=20)
        (outcome,) = store.write([[make_label("same", received_at=NOON, request_id=str(number))]])
        store.close()
        assert isinstance(outcome, list)
        return outcome

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(write, range(40)))
    assert sorted(outcomes) == [[False]] * 39 + [[True]]


def test_instants_count_and_not_how_they_are_written() -> None:
    berlin = datetime.fromisoformat("2013-10-01T14:00:00+02:00")
    assert hash_label(make_label("a", observed_at=berlin)) == hash_label(make_label("a"))
    assert hash_label(make_label("a", row=1)) != hash_label(make_label("a"))
