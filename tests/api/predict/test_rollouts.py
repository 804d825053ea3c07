"""A rollout deals entity keys to versions; each answer says who gave it, and is logged so."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.inference_requests import entity_inputs
from tests.support.manifests import EXAMPLE, FIELDS, make_manifest, publish, sum_graph
from tests.support.numbered_versions import MODEL, expected_score, publish_number
from tests.support.settings import make_settings
from tests.support.waiting import wait_until
from zeroskew.contract.arm_choice import encode_json
from zeroskew.records.registry.model_registry import ModelRegistry

PREDICT = f"/v1/models/{MODEL}:predict"
ROLLOUT = f"/v1/models/{MODEL}/rollout"
INSTANCES = [EXAMPLE | {"origin": f"E{number:02d}"} for number in range(40)]
CANARY = {
    "kind": "canary",
    "arms": [
        {"name": "champion", "alias": "champion", "weight": 0.7},
        {"name": "candidate", "version": 2, "weight": 0.3},
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rollouts")
    publish_number(folder, 1, alias="champion")
    for number in (2, 3):
        publish_number(folder, number)
    graph = sum_graph(6, 2)
    publish(folder, make_manifest(graph, request=FIELDS, description="Other."), graph, alias=None)
    return folder


@pytest.fixture(scope="module")
def client(folder: Path, online_store: Path) -> Iterator[AppClient]:
    settings = make_settings(folder, online_store, log_spool_dir=folder / "spool")
    with AppClient(create_app(settings)) as running:
        yield running


@pytest.fixture(autouse=True)
def rollout(client: AppClient) -> Iterator[None]:
    set_rollout(client, CANARY)
    yield
    client.delete(ROLLOUT)


def set_rollout(client: AppClient, rollout: dict[str, Any]) -> None:
    response = client.put(ROLLOUT, json={"rollout": rollout})
    assert response.status_code == 200, response.text


def ask(client: AppClient, instances: list[dict[str, Any]], **options: Any) -> Any:
    response = client.post(PREDICT, json={"instances": instances}, **options)
    assert response.status_code == 200, response.text
    return response.json()


def ask_one_by_one(client: AppClient) -> list[tuple[str, int]]:
    answers = [ask(client, [instance]) for instance in INSTANCES]
    return [(answer["arm"], answer["version"]) for answer in answers]


def find_logged(client: AppClient, prediction_id: str) -> Any:
    found: list[Any] = []

    def is_there() -> bool:
        response = client.get(f"/v1/predictions/{prediction_id}")
        if response.status_code == 200:
            found.append(response.json())
        return bool(found)

    wait_until(is_there)
    return found[0]


def test_a_key_is_answered_by_its_arm_alone_and_among_others(client: AppClient) -> None:
    alone = ask_one_by_one(client)
    assert set(alone) == {("champion", 1), ("candidate", 2)}
    assert ask_one_by_one(client) == alone
    together = ask(client, INSTANCES)
    assert together["version"] is None
    assert "arm" not in together
    assert [(one["arm"], one["version"]) for one in together["served_by"]] == alone


def test_each_prediction_is_that_of_the_version_it_names(client: AppClient) -> None:
    instances = [EXAMPLE | {"seats": number} for number in range(40)]
    set_rollout(client, CANARY | {"sticky_by": ["seats"]})
    answer = ask(client, instances)
    versions = [one["version"] for one in answer["served_by"]]
    assert set(versions) == {1, 2}
    scores = [one["value"] for one in answer["predictions"]]
    assert scores == [expected_score(version) for version in versions]
    (_, other) = (ask(client, [instances[0]]), ask(client, [instances[0]]))
    assert other["version"] == versions[0]
    assert other["predictions"] == answer["predictions"][:1]


def test_the_parts_of_a_mixed_answer_stand_in_the_order_of_the_request(client: AppClient) -> None:
    instances: list[dict[str, Any]] = [
        one | {"overrides": {"carrier_stats:mean_delay": number}}
        for number, one in enumerate(INSTANCES)
    ]
    answer = ask(client, instances, params={"with_features": "true"})
    assert len({one["arm"] for one in answer["served_by"]}) == 2
    assert answer["overridden"] == [["carrier_stats:mean_delay"]] * len(instances)
    for number, features in enumerate(answer["features"]):
        assert features["carrier_stats:mean_delay"]["value"] == number
    columns = {name: [one[name] for one in INSTANCES] for name in EXAMPLE}
    response = client.post(PREDICT, json={"inputs": columns})
    assert len(response.json()["outputs"]) == len(INSTANCES)


def test_open_inference_requests_are_dealt_the_same_way(client: AppClient) -> None:
    alone = ask_one_by_one(client)
    response = client.post(f"/v2/models/{MODEL}/infer", json={"inputs": entity_inputs(INSTANCES)})
    answer = response.json()
    assert "model_version" not in answer
    assert answer["parameters"]["arm"].split(",") == [arm for arm, _ in alone]
    one = client.post(f"/v2/models/{MODEL}/infer", json={"inputs": entity_inputs(INSTANCES[:1])})
    assert one.json()["parameters"]["arm"] == alone[0][0]
    assert one.json()["model_version"] == str(alone[0][1])
    v1 = [answer["value"] for answer in ask(client, INSTANCES)["predictions"]]
    (scores,) = [one["data"] for one in answer["outputs"] if one["name"] == "value"]
    assert scores == v1


def test_who_asks_for_a_version_or_an_alias_gets_it(client: AppClient) -> None:
    for place, version in (("versions/3", 3), ("labels/champion", 1)):
        response = client.post(f"/v1/models/{MODEL}/{place}:predict", json={"instances": INSTANCES})
        answer = response.json()
        assert (answer["version"], "arm" in answer, "served_by" in answer) == (
            version,
            False,
            False,
        )


def test_the_log_says_which_arm_answered_what(client: AppClient) -> None:
    answer = ask(client, INSTANCES)
    logged = find_logged(client, answer["id"])
    assert [(row["row"], row["arm"], row["version"]) for row in logged["rows"]] == [
        (number, one["arm"], one["version"]) for number, one in enumerate(answer["served_by"])
    ]
    assert [row["output"] for row in logged["rows"]] == [
        [one["value"]] for one in answer["predictions"]
    ]
    assert [row["entity_key"]["origin"] for row in logged["rows"]] == [
        one["origin"] for one in INSTANCES
    ]
    replay = client.post(f"/v1/predictions/{answer['id']}:replay").json()
    assert (replay["is_equal"], len(replay["rows"])) == (True, len(INSTANCES))
    assert set(replay["model_sha256"]) == {"1", "2"}


def test_a_service_that_starts_anew_and_another_replica_deal_the_same_way(
    client: AppClient, folder: Path, online_store: Path
) -> None:
    before = ask_one_by_one(client)
    settings = make_settings(folder, online_store, log_mode="off")
    with AppClient(create_app(settings)) as replica:
        assert ask_one_by_one(replica) == before


def test_an_arm_that_is_an_alias_follows_it(client: AppClient, folder: Path) -> None:
    registry = ModelRegistry.open(f"sqlite:///{folder}/zeroskew.db")
    before = ask_one_by_one(client)
    registry.set_alias(MODEL, "champion", 3)
    wait_until(lambda: ("champion", 3) in ask_one_by_one(client))
    after = ask_one_by_one(client)
    assert [arm for arm, _ in after] == [arm for arm, _ in before]
    assert {version for arm, version in after if arm == "champion"} == {3}
    registry.set_alias(MODEL, "champion", 1)
    wait_until(lambda: ("champion", 1) in ask_one_by_one(client))
    registry.close()


def test_ten_thousand_keys_are_dealt_by_the_weights(client: AppClient) -> None:
    keys = [EXAMPLE | {"origin": f"K{number}"} for number in range(10_000)]
    canary: dict[str, Any] = json.loads(encode_json(CANARY))
    canary["arms"][0]["weight"], canary["arms"][1]["weight"] = 0.9, 0.1
    set_rollout(client, canary)
    arms = Counter[str]()
    for start in range(0, len(keys), 500):
        answer = ask(client, keys[start : start + 500])
        arms.update(one["arm"] for one in answer["served_by"])
    # The binomial distribution's 99.9 % bounds, by scipy.stats.binom.interval.
    assert 903 <= arms["candidate"] <= 1099
    assert arms.total() == 10_000


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"sticky_by": ["cabin"]}, ["sticky_by cabin", "carrier, origin"]),
        (
            {"arms": [CANARY["arms"][0], {"name": "x", "version": 99, "weight": 0.3}]},
            ["version 99", "no such version"],
        ),
        (
            {"arms": [CANARY["arms"][0], {"name": "x", "alias": "nobody", "weight": 0.3}]},
            ["alias 'nobody'", "no such alias"],
        ),
    ],
)
def test_a_rollout_that_cannot_serve_is_refused(
    client: AppClient, changes: dict[str, Any], parts: list[str]
) -> None:
    response = client.put(ROLLOUT, json={"rollout": CANARY | changes})
    assert (response.status_code, response.json()["code"]) == (409, "registry_conflict")
    assert all(part in response.json()["detail"] for part in parts), response.text
    assert {arm for arm, _ in ask_one_by_one(client)} == {"champion", "candidate"}


def test_a_version_with_other_request_fields_is_no_arm(client: AppClient, folder: Path) -> None:
    graph = sum_graph(6, 2)
    fields = (FIELDS[0].model_copy(update={"nullable": True}), *FIELDS[1:])
    number = publish(folder, make_manifest(graph, request=fields), graph, alias=None)
    arms = [CANARY["arms"][0], {"name": "x", "version": number, "weight": 0.3}]
    response = client.put(ROLLOUT, json={"rollout": CANARY | {"arms": arms}})
    assert response.status_code == 409
    assert "differs from that of 'champion' in carrier" in response.json()["detail"]
