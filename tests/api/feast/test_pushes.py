"""Pushes under /feast: what is written where, what an answer says, and what is refused."""

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.api.feast.conftest import FeastService
from tests.support.online_stores import EVENT_TIME

NOON = "2013-10-01T12:00:00Z"
WRITTEN, OLDER = {"written": 1, "older": 0}, {"written": 0, "older": 1}


def sdk_read(service: FeastService, feature: str, **keys: Any) -> Any:
    """Return what Feast's SDK reads of one feature of one entity."""
    answer = service.store.get_online_features([feature], [keys]).to_dict()
    return answer[feature.partition(":")[2]][0]


def test_a_push_writes_every_view_that_its_source_feeds(service: FeastService) -> None:
    done = service.push("gate_push", gate_number=[1], walk_m=[5], wait=[0.5], known_at=[NOON])
    assert done == {"gate": WRITTEN, "gate_wait": WRITTEN}
    assert sdk_read(service, "gate:walk", gate_number=1) == 5
    assert sdk_read(service, "gate_wait:wait", gate_number=1) == 0.5


def test_a_repeated_push_changes_nothing(service: FeastService) -> None:
    body: dict[str, Any] = {"gate_number": [2], "walk": [5], "wait": [0.5], "known_at": [NOON]}
    assert service.push("gate_push", **body) == service.push("gate_push", **body)
    assert sdk_read(service, "gate:walk", gate_number=2) == 5


def test_older_rows_are_counted_and_change_nothing(service: FeastService) -> None:
    earlier = (EVENT_TIME - timedelta(seconds=1)).isoformat()
    later = (EVENT_TIME + timedelta(seconds=1)).isoformat()
    times = [NOON, later, earlier]
    rows: dict[str, Any] = {"gate_number": [3] * 3, "walk": [1, 2, 3], "wait": [1, 2, 3]}
    assert service.push("gate_push", **rows, known_at=times)["gate"] == {"written": 1, "older": 2}
    assert service.push("gate_push", **rows, known_at=[earlier] * 3)["gate"] == {
        "written": 0,
        "older": 3,
    }
    assert sdk_read(service, "gate:walk", gate_number=3) == 2


@pytest.mark.parametrize(
    ("number", "time", "told"),
    [
        (10, "2013-10-01 12:00:00", "2013-10-01T12:00:00Z"),
        (11, "2013-10-01T14:00:00+02:00", "2013-10-01T12:00:00Z"),
        (12, "2013-10-01t11:59:58.000000999z", "2013-10-01T11:59:58Z"),
        (13, "0001-01-01T00:00:00", "0001-01-01T00:00:00Z"),
        (14, "9999-12-31T23:59:59", "9999-12-31T23:59:59Z"),
    ],
)
def test_event_times_are_read_as_feasts_clients_write_them(
    service: FeastService, number: int, time: str, told: str
) -> None:
    service.push("gate_push", gate_number=[number], walk=[1], wait=[None], known_at=[time])
    result = service.results(["gate:walk"], gate_number=[number])["walk"]
    assert result["event_timestamps"] == [told]


def test_the_times_may_have_the_names_that_feasts_client_gives_them(service: FeastService) -> None:
    df = {"gate_number": [4], "walk": [7], "event_timestamp": [NOON], "created": [None]}
    answer = service.post("write-to-online-store", {"feature_view_name": "gate", "df": df})
    told = answer.json()
    assert (told["rows"], told["views"]) == (1, {"gate": WRITTEN})
    assert sdk_read(service, "gate:walk", gate_number=4) == 7


def test_nothing_to_write_is_no_mistake(service: FeastService) -> None:
    answer = service.post("write-to-online-store", {"feature_view_name": "gate", "df": {}})
    told = answer.json()
    assert (told["rows"], told["views"]) == (0, {"gate": {"written": 0, "older": 0}})


def test_a_push_is_written_whole_or_not_at_all(service: FeastService) -> None:
    body = {"gate_number": [5, 6], "walk": [1, 2], "wait": [1, "x"], "known_at": [NOON] * 2}
    answer = service.post("push", {"push_source_name": "gate_push", "df": body})
    assert answer.status_code == 422
    assert sdk_read(service, "gate:walk", gate_number=5) is None


def test_all_that_is_wrong_is_named(service: FeastService) -> None:
    df = {"gate_number": [1, None], "walk": [1.5, 2], "known_at": [NOON, "yesterday"], "x": [1, 2]}
    answer = service.post("push", {"push_source_name": "gate_push", "df": df})
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert pointers == {
        "/df/gate_number/1",
        "/df/walk/0",
        "/df/known_at/1",
        "/df/wait",
        "/df/x",
    }


GATE: dict[str, Any] = {"gate_number": [1], "walk": [1], "wait": [0.5], "known_at": [NOON]}
CARRIER: dict[str, Any] = {"carrier": ["UA"], "mean": [1], "size": ["big"], "known_at": [NOON]}


def gate(**changes: Any) -> dict[str, Any]:
    df = {name: values for name, values in (GATE | changes).items() if values is not ...}
    return {"push_source_name": "gate_push", "df": df}


def carrier(**changes: Any) -> dict[str, Any]:
    return {"push_source_name": "carrier_stats_push", "df": CARRIER | changes}


POISON: list[tuple[Any, int, str, str]] = [
    ("{", 400, "malformed_json", "line 1"),
    ("[]", 422, "invalid_request", "an object"),
    ({"df": GATE}, 422, "invalid_request", "/push_source_name"),
    ({"push_source_name": "gate_push"}, 422, "invalid_request", "/df"),
    ({"push_source_name": "gate_push", "df": [GATE]}, 422, "invalid_request", "/df"),
    ({"push_source_name": None, "df": GATE}, 422, "invalid_request", "/push_source_name"),
    ({"push_source_name": "nope", "df": GATE}, 404, "unknown_push_source", "/push_source_name"),
    ({"push_source_name": "gate", "df": GATE}, 404, "unknown_push_source", "/push_source_name"),
    ({"push_source_name": "../x", "df": GATE}, 404, "unknown_push_source", "/push_source_name"),
    ({**gate(), "to": "nowhere"}, 422, "invalid_request", "/to"),
    ({**gate(), "to": "ONLINE"}, 422, "invalid_request", "/to"),
    ({**gate(), "to": 1}, 422, "invalid_request", "/to"),
    ({**gate(), "transform_on_write": "yes"}, 422, "invalid_request", "/transform_on_write"),
    ({**gate(), "more": 1}, 422, "invalid_request", "/more"),
    (gate(gate_number=...), 422, "invalid_request", "/df/gate_number"),
    (gate(walk=...), 422, "invalid_request", "/df/walk"),
    (gate(known_at=...), 422, "invalid_request", "/df/known_at"),
    (gate(walk_m=[1]), 422, "invalid_request", "a second column for 'walk'"),
    (gate(nope=[1]), 422, "invalid_request", "/df/nope"),
    (gate(walk=[1, 2]), 422, "invalid_request", "/df/walk"),
    (gate(walk=1), 422, "invalid_request", "/df/walk"),
    (gate(walk={"0": 1}), 422, "invalid_request", "/df/walk"),
    (gate(gate_number=[None]), 422, "invalid_request", "/df/gate_number/0"),
    (gate(gate_number=["1"]), 422, "invalid_request", "/df/gate_number/0"),
    (gate(gate_number=[2**63]), 422, "invalid_request", "/df/gate_number/0"),
    (gate(walk=[True]), 422, "invalid_request", "/df/walk/0"),
    (gate(walk=[1.0]), 422, "invalid_request", "/df/walk/0"),
    (gate(walk=[2**70]), 422, "invalid_request", "/df/walk/0"),
    (gate(walk=[[1]]), 422, "invalid_request", "/df/walk/0"),
    (gate(wait=["x"]), 422, "invalid_request", "/df/wait/0"),
    (gate(wait=[True]), 422, "invalid_request", "/df/wait/0"),
    (gate(wait=[1e39]), 422, "invalid_request", "/df/wait/0"),
    (gate(wait=[float("nan")]), 422, "invalid_request", "/df/wait/0"),
    (gate(wait=[10**400]), 422, "invalid_request", "/df/wait/0"),
    (gate(known_at=[None]), 422, "invalid_request", "/df/known_at/0"),
    (gate(known_at=[1380628800]), 422, "invalid_request", "/df/known_at/0"),
    (gate(known_at=["2013-10-01"]), 422, "invalid_request", "/df/known_at/0"),
    (gate(known_at=["2013-02-30T00:00:00Z"]), 422, "invalid_request", "/df/known_at/0"),
    (gate(known_at=["0000-01-01T00:00:00Z"]), 422, "invalid_request", "/df/known_at/0"),
    (gate(known_at=["0001-01-01T00:00:00+01:00"]), 422, "invalid_request", "/df/known_at/0"),
    (gate(known_at=["10000-01-01T00:00:00Z"]), 422, "invalid_request", "/df/known_at/0"),
    (gate(known_at=["9999-12-31T23:59:59-01:00"]), 422, "invalid_request", "/df/known_at/0"),
    (gate(known_at=["2013-10-01T12:00:00Z; DROP"]), 422, "invalid_request", "/df/known_at/0"),
    (gate(made_at=["soon"]), 422, "invalid_request", "/df/made_at/0"),
    (carrier(carrier=[1]), 422, "invalid_request", "/df/carrier/0"),
    (carrier(carrier=["x" * 257]), 422, "invalid_request", "/df/carrier/0"),
    (carrier(size=["a\0b"]), 422, "invalid_request", "/df/size/0"),
    (carrier(size=[{}]), 422, "invalid_request", "/df/size/0"),
    (
        gate(**{name: values * 20_001 for name, values in GATE.items()}),
        422,
        "invalid_request",
        "20000",
    ),
    (
        '{"push_source_name": "gate_push", "df": {"a": [], "a": []}}',
        422,
        "invalid_request",
        "twice",
    ),
]


@pytest.mark.parametrize(("body", "status", "code", "said"), POISON)
def test_a_bad_push_is_refused_with_its_place(
    service: FeastService, body: Any, status: int, code: str, said: str
) -> None:
    answer = service.client.post(
        "/feast/push",
        content=body if isinstance(body, str) else json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert said in problem["detail"]


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        (
            {"feature_view_name": "nope", "df": GATE},
            404,
            "unknown_feature_view",
            "/feature_view_name",
        ),
        ({"feature_view_name": 1, "df": GATE}, 422, "invalid_request", "/feature_view_name"),
        ({"feature_view_name": "gate", "df": GATE}, 422, "invalid_request", "/df/wait"),
        ({**gate(), "feature_view_name": "gate"}, 422, "invalid_request", "/push_source_name"),
    ],
)
def test_a_bad_write_is_refused_with_its_place(
    service: FeastService, body: Any, status: int, code: str, said: str
) -> None:
    answer = service.post("write-to-online-store", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert said in answer.json()["detail"]
