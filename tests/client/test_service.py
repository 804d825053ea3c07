"""Both clients against the real service, over a real connection."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.support.either_client import FAST, EitherClient
from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.service_process import Server
from zeroskew_client import (
    ClassPrediction,
    ConnectionFailedError,
    FeatureDetail,
    InvalidInputError,
    Label,
    ProbabilityPrediction,
    ProblemError,
    RetriesExhaustedError,
    ValuePrediction,
)
from zeroskew_client.documents import read_predictions

# As tests/api/v1/test_predict.py reckons it: the graph adds up what it is given.
BASE = 0.125 + 2.5 + 1 + 3 + 0
DEPARTURE = datetime(2013, 10, 1, 14, 17, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def client(kind: str, service_url: str) -> Iterator[EitherClient]:
    with EitherClient(kind, service_url) as running:
        yield running


def flight(**changes: Any) -> dict[str, Any]:
    return EXAMPLE | {"scheduled_departure": EPOCH} | changes


def test_a_prediction_is_typed_and_says_where_it_comes_from(client: EitherClient) -> None:
    batch = client.call("predict", "arrival_delay", [EXAMPLE])
    score = BASE + 1400.5 + DEPARTURE.timestamp()
    assert batch.predictions == (ValuePrediction(score),)
    assert (batch.model, batch.version) == ("arrival_delay", 1)
    assert batch.as_of == datetime(2013, 10, 1, 12, tzinfo=UTC)
    assert len(batch.id) == 36
    assert len(batch.request_id) == 32
    assert (batch.degraded, batch.overridden, batch.features) == (None, None, None)


def test_a_time_means_the_same_in_every_zone(client: EitherClient) -> None:
    zones = [UTC, timezone(timedelta(hours=-4)), timezone(timedelta(minutes=-56, seconds=-2))]
    flights = [flight(scheduled_departure=DEPARTURE.astimezone(zone)) for zone in zones]
    batch = client.call("predict", "arrival_delay", flights)
    assert set(batch.predictions) == {ValuePrediction(BASE + 1400.5 + DEPARTURE.timestamp())}


def test_versions_and_aliases_are_addressed(client: EitherClient) -> None:
    asked: list[dict[str, Any]] = [{}, {"alias": "challenger"}, {"version": 2}, {"version": 1}]
    answers = [client.call("predict", "arrival_delay", [EXAMPLE], **options) for options in asked]
    assert [answer.version for answer in answers] == [1, 2, 2, 1]


def test_every_kind_of_model_has_its_kind_of_prediction(client: EitherClient) -> None:
    # The sum is 0 where the distance takes back what the stored features add.
    even = [flight(distance=-BASE)]
    assert client.call("predict", "is_late", even).predictions == (
        ProbabilityPrediction(0.5, label=True),
    )
    assert client.call("predict", "delay_class", even).predictions == (
        ClassPrediction({"early": 0.5, "late": 0.5}, "early"),
    )


def test_features_and_overrides_are_told(client: EitherClient) -> None:
    overridden = flight(distance=0, overrides={"route_stats:flights": 10})
    batch = client.call("predict", "arrival_delay", [overridden], with_features=True)
    assert batch.predictions == (ValuePrediction(BASE + 7),)
    assert batch.overridden == (("route_stats:flights",),)
    (features,) = batch.features
    assert features["route_stats:flights"].value == 10
    assert features["route_stats:flights"].status == "override"
    assert features["carrier_stats:mean_delay"].value == 2.5
    assert features["distance"] == FeatureDetail(0.0, "request", None, None)


def test_a_refused_field_is_named(client: EitherClient) -> None:
    with pytest.raises(ProblemError) as caught:
        client.call("predict", "arrival_delay", [flight(), flight(seats="many")])
    problem = caught.value
    assert (problem.status, problem.code) == (422, "invalid_instances")
    (field,) = problem.errors
    assert (field.pointer, field.got) == ("/instances/1/seats", '"many"')
    assert field.message == problem.detail
    assert problem.instances is None
    assert problem.request_id
    assert problem.request_id in str(problem)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"model": "nobody"}, "unknown_model"),
        ({"version": 99}, "unknown_version"),
        ({"alias": "nobody"}, "unknown_alias"),
    ],
)
def test_an_unknown_name_is_a_problem(
    client: EitherClient, options: dict[str, Any], code: str
) -> None:
    arguments = {"model": "arrival_delay", "instances": [EXAMPLE]} | options
    with pytest.raises(ProblemError) as caught:
        client.call("predict", **arguments)
    assert (caught.value.status, caught.value.code) == (404, code)


def test_many_are_scored_in_their_order(client: EitherClient) -> None:
    flights = [flight(distance=number) for number in range(45)]
    many = client.call("predict_many", "arrival_delay", flights, chunk_size=10)
    assert [len(batch.predictions) for batch in many.batches] == [10, 10, 10, 10, 5]
    assert list(many) == [ValuePrediction(BASE + number) for number in range(45)]
    assert len(many) == 45
    assert many.versions == (1,) * 45
    assert not many.is_degraded
    assert len({batch.request_id for batch in many.batches}) == 5


def test_more_than_the_service_takes_at_once_are_scored(client: EitherClient) -> None:
    flights = (flight(distance=number) for number in range(1201))
    many = client.call("predict_many", "arrival_delay", flights, version=2)
    assert [prediction.value for prediction in many] == [BASE + number for number in range(1201)]
    assert many.versions == (2,) * 1201


def test_a_chunk_that_is_refused_is_named_in_the_callers_places(client: EitherClient) -> None:
    flights = [flight(distance=number) for number in range(25)]
    flights[17]["carrier"] = "nobody"
    with pytest.raises(ProblemError) as caught:
        client.call("predict_many", "arrival_delay", flights, chunk_size=10)
    problem = caught.value
    assert problem.instances == range(10, 20)
    (field,) = problem.errors
    assert field.pointer == "/instances/17/carrier"
    assert problem.detail.startswith('Got "nobody" at /instances/17/carrier, but expected ')
    assert str(problem).startswith("Instances 10 to 19: 422 invalid_instances: ")


def test_models_are_described(client: EitherClient) -> None:
    models = client.call("models")
    assert [model.name for model in models] == ["arrival_delay", "delay_class", "is_late"]
    assert models[0] == client.call("model", "arrival_delay")
    assert models[0].aliases == {"challenger": 2, "champion": 1}
    assert [version.version for version in models[0].versions] == [2, 1]
    detail = client.call("version", "arrival_delay", 2)
    assert detail.registered == models[0].versions[0]
    assert detail.registered.created_at.tzinfo is not None
    assert detail.aliases == ("challenger",)
    assert detail.manifest["description"] == "Another."
    assert client.call("predict", "arrival_delay", [detail.manifest["example"]]).version == 1


def test_a_healthy_service_is_live_and_ready(client: EitherClient) -> None:
    client.call("check_live")
    client.call("check_ready")


def test_a_service_without_its_store_is_live_but_not_ready(
    kind: str, tmp_path: Path, online_store: Path
) -> None:
    graph = sum_graph(6, 2)
    publish(tmp_path, make_manifest(graph), graph)
    server = Server(tmp_path, online_store, ZEROSKEW_ONLINE_STORE="redis://127.0.0.1:1")
    try:
        with EitherClient(kind, server.url) as client:
            client.call("check_live")
            with pytest.raises(ProblemError) as unready:
                client.call("check_ready")
            assert unready.value.code == "online_store_unavailable"
            with pytest.raises(RetriesExhaustedError) as caught:
                client.call("predict", "arrival_delay", [EXAMPLE])
    finally:
        server.stop()
    last = caught.value.last
    assert isinstance(last, ProblemError)
    assert (last.code, caught.value.attempts) == ("online_store_unavailable", FAST.attempts)
    paths = [line["path"] for line in server.log if line["event"] == "request_finished"]
    assert paths == ["/livez", "/readyz", *["/v1/models/arrival_delay:predict"] * 3]
    ids = {line["request_id"] for line in server.log if line.get("path") == paths[-1]}
    assert ids == {last.request_id}


def test_nobody_at_the_port_is_a_failed_connection(kind: str) -> None:
    policy = replace(FAST, attempts=1)
    with (
        EitherClient(kind, "http://127.0.0.1:1", retries=policy) as client,
        pytest.raises(ConnectionFailedError, match="the connection failed"),
    ):
        client.call("predict", "arrival_delay", [EXAMPLE])


def test_labels_are_kept_once(client: EitherClient) -> None:
    batch = client.call("predict", "arrival_delay", [flight()])
    label = Label(
        prediction_id=batch.id, value=12.5, observed_at=datetime(2013, 10, 1, 11, tzinfo=UTC)
    )
    (first,) = client.call("send_labels", [label])
    (again,) = client.call("send_labels", [label])
    assert (first.status, again.status) == ("created", "known")
    assert first.idempotency_key == again.idempotency_key
    by_entity = Label(
        model="arrival_delay",
        entity_key={"carrier": "UA", "origin": "EWR", "dest": None},
        time=datetime(2013, 10, 1, 10, tzinfo=timezone(timedelta(hours=2))),
        value=3,
        observed_at=datetime(2013, 10, 1, 11, tzinfo=UTC),
        idempotency_key=f"mine-{batch.id}",
    )
    (outcome,) = client.call("send_labels", [by_entity])
    assert (outcome.status, outcome.is_matched) == ("created", False)
    with pytest.raises(ProblemError) as raised:
        client.call("send_labels", [replace(by_entity, value=4)])
    assert raised.value.code == "label_conflict"


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"value": float("nan")}, "at /labels/0/value"),
        ({"observed_at": datetime(2013, 10, 1)}, "at /labels/0/observed_at"),  # noqa: DTZ001 - it is refused
        ({"entity_key": {"carrier": object()}}, "at /labels/0/entity_key/carrier"),
    ],
)
def test_a_label_that_cannot_be_sent_is_not(
    client: EitherClient, changes: dict[str, Any], part: str
) -> None:
    label = Label(value=1, observed_at=EPOCH, prediction_id="x")
    with pytest.raises(InvalidInputError, match=part):
        client.call("send_labels", [replace(label, **changes)])
    with pytest.raises(InvalidInputError, match="Got no labels"):
        client.call("send_labels", [])


def test_a_rollout_says_who_answered_which_instance(kind: str) -> None:
    document = {
        "id": "x",
        "model": "m",
        "version": None,
        "served_by": [{"arm": "champion", "version": 1}, {"arm": "candidate", "version": 2}],
        "as_of": "2013-10-01T00:00:00Z",
        "predictions": [{"value": 1.0}, {"value": 2.0}],
    }
    batch = read_predictions(document, "id", 2)
    assert (batch.version, batch.versions, batch.arms) == (None, (1, 2), ("champion", "candidate"))
    del document["served_by"]
    alone = read_predictions(document | {"version": 3, "arm": "candidate"}, "id", 2)
    assert (alone.version, alone.versions, alone.arms) == (3, (3, 3), ("candidate",) * 2)
