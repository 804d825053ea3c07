"""Labels are kept when they are acknowledged, once, and only where they mean something."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.killed_service import KillTrial
from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.settings import make_settings
from tests.support.whole_service import publish_every_kind
from zeroskew.contract.manifest import Output

FEEDBACK = "/v1/feedback"
UNKNOWN = "00000000-0000-7000-8000-000000000001"
SEEN = "2013-10-01T11:00:00Z"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, online_store: Path) -> Iterator[AppClient]:
    folder = tmp_path_factory.mktemp("labels")
    publish_every_kind(folder)
    settings = make_settings(folder, online_store, log_mode="durable", log_spool_dir=folder / "s")
    with AppClient(create_app(settings)) as running:
        yield running


def predict(client: AppClient, model: str = "arrival_delay") -> str:
    answer = client.post(f"/v1/models/{model}:predict", json={"instances": [EXAMPLE, EXAMPLE]})
    return str(answer.json()["id"])


def give(client: AppClient, *labels: dict[str, Any]) -> Any:
    return client.post(FEEDBACK, json={"labels": list(labels)})


def label(prediction_id: str, value: Any = 12.5, **more: Any) -> dict[str, Any]:
    return {"prediction_id": prediction_id, "value": value, "observed_at": SEEN} | more


def test_a_label_is_kept_and_shown(client: AppClient) -> None:
    prediction_id = predict(client)
    answer = give(client, label(prediction_id, row=1), label(prediction_id, -3))
    assert answer.status_code == 200
    assert [one["status"] for one in answer.json()["labels"]] == ["created", "created"]
    assert [one["matched"] for one in answer.json()["labels"]] == [True, True]
    kept = client.get(FEEDBACK, params={"prediction_id": prediction_id}).json()["labels"]
    assert [(one["row"], one["value"]) for one in kept] == [(1, 12.5), (0, -3.0)]


def test_the_same_again_is_known_and_a_correction_is_kept_beside_it(client: AppClient) -> None:
    prediction_id = predict(client)
    first = give(client, label(prediction_id)).json()["labels"][0]
    written = {"observed_at": "2013-10-01T13:00:00+02:00"}
    again = give(client, label(prediction_id) | written).json()["labels"][0]
    assert again == {**first, "status": "known"}
    later = label(prediction_id, 14, observed_at="2013-10-01T11:30:00Z")
    assert give(client, later).json()["labels"][0]["status"] == "created"
    kept = client.get(FEEDBACK, params={"prediction_id": prediction_id}).json()["labels"]
    assert [one["value"] for one in kept] == [12.5, 14.0]


def test_a_key_that_stands_for_another_label_is_a_conflict(client: AppClient) -> None:
    prediction_id = predict(client)
    assert give(client, label(prediction_id, idempotency_key="k1")).status_code == 200
    other = give(client, label(prediction_id, 99, idempotency_key="k1"), label(prediction_id, 1))
    assert (other.status_code, other.json()["code"]) == (409, "label_conflict")
    kept = client.get(FEEDBACK, params={"prediction_id": prediction_id}).json()["labels"]
    assert [one["value"] for one in kept] == [12.5]


def test_one_key_sent_many_times_at_once_is_one_label(client: AppClient) -> None:
    prediction_id = predict(client)

    def send(_: int) -> str:
        answer = give(client, label(prediction_id, idempotency_key="at-once"))
        return str(answer.json()["labels"][0]["status"])

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(send, range(200)))
    assert sorted(statuses) == ["created"] + ["known"] * 199


def test_labels_about_an_entity_and_about_what_is_not_logged_are_kept(client: AppClient) -> None:
    entity = {
        "model": "is_late",
        "entity_key": {"origin": "EWR", "carrier": "UA", "dest": None},
        "time": "2013-10-01T12:00:00Z",
        "value": True,
        "observed_at": SEEN,
    }
    answer = give(client, entity, label(UNKNOWN, False))
    assert answer.status_code == 200, answer.text
    assert [one["matched"] for one in answer.json()["labels"]] == [False, False]


def test_a_label_about_an_entity_finds_the_prediction_for_it(client: AppClient) -> None:
    instances = [EXAMPLE, EXAMPLE | {"dest": "BQN"}]
    answer = client.post("/v1/models/is_late:predict", json={"instances": instances})
    as_of = answer.json()["as_of"]

    def matched(entity_key: dict[str, Any], time: str) -> Any:
        body = {"model": "is_late", "entity_key": entity_key, "time": time, "value": True}
        answer = give(client, body | {"observed_at": SEEN})
        assert answer.status_code == 200, answer.text
        return answer.json()["labels"][0]["matched"]

    key = {name: EXAMPLE[name] for name in ("carrier", "dest", "origin")}
    assert matched(key, as_of) is True
    assert matched(key | {"dest": "BQN"}, as_of) is True
    assert matched(key | {"dest": "STT"}, as_of) is False
    assert matched(key, "2013-10-01T00:00:00Z") is False


@pytest.mark.parametrize(
    ("entity_key", "pointer", "expected"),
    [
        ({"carrier": "UA"}, "entity_key", "all of carrier, dest, origin"),
        (
            {"carrier": "UA", "dest": "X", "origin": "Y", "day": 1},
            "entity_key",
            "all of carrier, dest, origin",
        ),
        ({"carrier": 7, "dest": "X", "origin": "Y"}, "entity_key/carrier", "text"),
        ({"carrier": None, "dest": "X", "origin": "Y"}, "entity_key/carrier", "text"),
        ({"carrier": True, "dest": None, "origin": "Y"}, "entity_key/carrier", "text"),
    ],
)
def test_an_entity_that_no_request_can_name_is_refused(
    client: AppClient, entity_key: dict[str, Any], pointer: str, expected: str
) -> None:
    body = {"model": "is_late", "entity_key": entity_key, "time": SEEN, "value": True}
    answer = give(client, body | {"observed_at": SEEN})
    assert answer.status_code == 422, answer.text
    problem = answer.json()["errors"][0]
    assert problem["pointer"] == f"/labels/0/{pointer}"
    assert expected in problem["expected"]


def test_labels_are_of_the_models_kind(client: AppClient) -> None:
    late, kind = predict(client, "is_late"), predict(client, "delay_class")
    good = [label(late, True), label(kind, "early"), label(predict(client), 3)]
    assert give(client, *good).status_code == 200
    for bad, expected in (
        (label(late, 1), "true or false"),
        (label(kind, "soon"), "one of ['early', 'late']"),
        (label(kind, 0), "one of"),
        (label(predict(client), True), "a number"),
    ):
        answer = give(client, *good, bad)
        assert answer.status_code == 422
        problem = answer.json()["errors"][0]
        assert problem["pointer"] == "/labels/3/value"
        assert expected in problem["expected"]


@pytest.mark.parametrize(("value", "status"), [(0.25, 200), (True, 200), (1.5, 422), ("0.2", 422)])
def test_a_model_that_learned_shares_takes_shares(
    tmp_path: Path, online_store: Path, value: Any, status: int
) -> None:
    graph = sum_graph(6, 2, output="probability")
    chance = Output(kind="probability", description="P.", threshold=0.5)
    publish(tmp_path, make_manifest(graph, objective="cross_entropy", output=chance), graph)
    settings = make_settings(tmp_path, online_store, log_mode="durable", log_spool_dir=tmp_path)
    with AppClient(create_app(settings)) as client:
        answer = give(client, label(predict(client), value))
    assert answer.status_code == status
    assert status == 200 or "true, false, or a share" in answer.text


@pytest.mark.parametrize(
    ("bad", "pointer"),
    [
        ({"value": 1, "observed_at": SEEN}, "/labels/0"),
        ({"model": "is_late", "value": True, "observed_at": SEEN}, "/labels/0"),
        (label("nonsense"), "/labels/0/prediction_id"),
        (label(UNKNOWN, observed_at="2013-10-01T11:00:00"), "/labels/0/observed_at"),
        (label(UNKNOWN, observed_at="2013-10-01T12:06:00Z"), "/labels/0/observed_at"),
        (label(UNKNOWN, observed_at="0001-01-01T00:00:00+14:00"), "/labels/0/observed_at"),
        (
            {
                "model": "is_late",
                "entity_key": {"a": 1},
                "time": "9999-12-31T23:59:59-23:00",
                "value": True,
                "observed_at": SEEN,
            },
            "/labels/0/time",
        ),
        (label(UNKNOWN, observed_at="1"), "/labels/0/observed_at"),
        (label(UNKNOWN, observed_at=1380625200), "/labels/0/observed_at"),
        (label(UNKNOWN, observed_at=-100_000_000_000), "/labels/0/observed_at"),
        (label(UNKNOWN, 2**53 + 1), "/labels/0/value"),
        (label(UNKNOWN, 10**400), "/labels/0/value"),
        (label(UNKNOWN, None), "/labels/0/value"),
        (label(UNKNOWN, [1]), "/labels/0/value"),
        (label(UNKNOWN, row=-1), "/labels/0/row"),
        (label(UNKNOWN, idempotency_key="a b"), "/labels/0/idempotency_key"),
        (label(UNKNOWN, poison=1), "/labels/0/poison"),
        (label(UNKNOWN, entity_key={"a": 1}), "/labels/0"),
    ],
)
def test_what_says_nothing_is_refused_by_place(
    client: AppClient, bad: dict[str, Any], pointer: str
) -> None:
    answer = give(client, bad)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("bad", "pointer", "expected"),
    [
        ({"value": None}, "/labels/0/value", "true, false, a number, or text of at most 256"),
        ({"value": [1]}, "/labels/0/value", "true, false, a number, or text of at most 256"),
        ({"observed_at": 1380625200}, "/labels/0/observed_at", "a moment in RFC 3339"),
        ({"prediction_id": "x"}, "/labels/0/prediction_id", "text that matches ^[0-9a-f]{8}-"),
        ({"entity_key": {"a": []}}, "/labels/0/entity_key/a", "text of at most 256 characters"),
        ({"entity_key": {"a\0": 1}}, "/labels/0/entity_key/a\0", "text that matches"),
    ],
)
def test_a_refused_value_is_named_once_and_by_its_place(
    client: AppClient, bad: dict[str, Any], pointer: str, expected: str
) -> None:
    problems = give(client, label(UNKNOWN) | bad).json()["errors"]
    assert [one["pointer"] for one in problems] == [pointer]
    assert problems[0]["expected"].startswith(expected)


def test_a_label_of_another_models_prediction_is_refused(client: AppClient) -> None:
    prediction_id = predict(client)
    answer = give(client, label(prediction_id, True, model="is_late"))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/labels/0/model"
    assert "expected arrival_delay" in answer.text


def test_without_a_database_nothing_is_acknowledged(tmp_path: Path, online_store: Path) -> None:
    publish_every_kind(tmp_path)
    settings = make_settings(tmp_path, online_store, log_mode="off", feedback_timeout_sec=0.2)
    with AppClient(create_app(settings)) as client:
        (tmp_path / "zeroskew.db").rename(tmp_path / "away.db")
        answer = give(client, label(UNKNOWN))
        assert (answer.status_code, answer.json()["code"]) == (503, "feedback_unavailable")
        assert answer.headers["retry-after"] == "1"
        (tmp_path / "away.db").rename(tmp_path / "zeroskew.db")
        kept = give(client, label(UNKNOWN))
        assert kept.status_code == 200
        assert kept.json()["labels"][0]["matched"] is None  # There is no log that would know.


def test_no_label_is_acknowledged_into_a_database_that_was_moved_away(
    tmp_path: Path, online_store: Path
) -> None:
    publish_every_kind(tmp_path)
    settings = make_settings(tmp_path, online_store, log_mode="off", feedback_timeout_sec=0.2)
    database = tmp_path / "zeroskew.db"
    with AppClient(create_app(settings)) as client:
        assert give(client, label(UNKNOWN)).status_code == 200
        with (
            closing(sqlite3.connect(database)) as source,
            closing(sqlite3.connect(":memory:")) as b,
        ):
            source.backup(b)
            for path in tmp_path.glob("zeroskew.db*"):
                path.rename(tmp_path / f"away-{path.name}")
            answer = give(client, label(UNKNOWN, 1))
            assert (answer.status_code, answer.json()["code"]) == (503, "feedback_unavailable")
            with closing(sqlite3.connect(database)) as restored:
                b.backup(restored)
        assert give(client, label(UNKNOWN, 2)).status_code == 200
        with closing(sqlite3.connect(database)) as restored:
            values = restored.execute("SELECT value_number FROM label").fetchall()
    assert values == [(12.5,), (2.0,)]


def test_no_acknowledged_label_is_lost_when_the_service_is_killed(
    tmp_path: Path, online_store: Path
) -> None:
    publish_every_kind(tmp_path)
    trial = KillTrial(tmp_path, online_store)
    trial.run(n_kills=4)
    assert len(trial.acknowledged) > 20
    assert trial.missing() == set()
