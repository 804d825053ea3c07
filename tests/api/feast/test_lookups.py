"""Look-ups under /feast: statuses, names, seldom kinds of views, and what is refused."""

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.api.feast.conftest import FeastService
from tests.support.feast_service import TTL
from tests.support.online_stores import EVENT_TIME

SECOND = timedelta(seconds=1)
NEVER = "1970-01-01T00:00:00Z"


def at(instant: Any) -> str:
    return str(instant.isoformat())


def test_each_status_has_its_meaning(service: FeastService) -> None:
    times = [EVENT_TIME - TTL, EVENT_TIME - TTL - SECOND, EVENT_TIME, EVENT_TIME + SECOND]
    tails = [101, 102, 103, 104]
    service.push(
        "route_push",
        tail=tails,
        origin=["EWR"] * 4,
        dest=["IAH"] * 4,
        flights=[1, 2, None, 4],
        known_at=[at(time) for time in times],
    )
    told = service.results(
        ["route:flights"], origin=["EWR"] * 6, dest=["IAH"] * 6, tail=[*tails, 105, None]
    )
    # The ttl's own end counts as live, as in training; what is to come does not.
    assert told["flights"] == {
        "values": [1, None, None, None, None, None],
        "statuses": [
            "PRESENT",
            "OUTSIDE_MAX_AGE",
            "NULL_VALUE",
            "OUTSIDE_MAX_AGE",
            "NOT_FOUND",
            "NOT_FOUND",
        ],
        "event_timestamps": [
            "2013-10-01T10:00:00Z",
            "2013-10-01T09:59:59Z",
            "2013-10-01T12:00:00Z",
            "2013-10-01T12:00:01Z",
            NEVER,
            NEVER,
        ],
    }
    assert told["tail"]["statuses"] == ["PRESENT"] * 5 + ["NULL_VALUE"]


def test_the_same_entity_is_answered_each_time_it_stands_there(service: FeastService) -> None:
    service.push(
        "gate_push",
        gate_number=[110, 111],
        walk=[7, 8],
        wait=[0.5, 1.5],
        known_at=[at(EVENT_TIME)] * 2,
    )
    gates = [111, 110, 111, 112, 110]
    assert service.read(["gate_wait:wait", "gate:walk"], gate_number=gates) == {
        "gate_number": gates,
        "wait": [1.5, 0.5, 1.5, None, 0.5],
        "walk": [8, 7, 8, None, 7],
    }


def test_no_rows_get_an_answer_without_rows(service: FeastService) -> None:
    assert service.read(["gate:walk"], gate_number=[]) == {"gate_number": [], "walk": []}


def test_entities_that_no_view_asks_for_are_left_out_as_feast_does(service: FeastService) -> None:
    read = service.read(["gate:walk"], gate_number=[1], weather=["rain"])
    assert read.keys() == {"gate_number", "walk"}


def test_an_entity_may_go_by_its_own_name(service: FeastService) -> None:
    service.push("gate_push", gate_number=[120], walk=[5], wait=[None], known_at=[at(EVENT_TIME)])
    assert service.read(["gate:walk"], gate=[120]) == {"gate_number": [120], "walk": [5]}
    both = {"features": ["gate:walk"], "entities": {"gate": [120], "gate_number": [120]}}
    answer = service.post("get-online-features", both)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/entities/gate")


def test_full_names_tell_views_apart(service: FeastService) -> None:
    body = {"features": ["gate:walk"], "entities": {"gate_number": [1]}, "full_feature_names": True}
    answer = service.post("get-online-features", body).json()
    assert answer["metadata"]["feature_names"] == ["gate_number", "gate__walk"]


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        ({"feature_service": "mixed_v1"}, "invalid_request", "spelled:text"),
        ({"feature_service": "mixed_v1"}, "invalid_request", "'text' of type STRING"),
        ({"feature_service": "sets_v1"}, "invalid_request", "sets:codes of type INT64_SET"),
        ({"features": ["spelled:text"]}, "invalid_request", "computed on demand by code"),
        ({"features": ["season:factor"]}, "invalid_request", "no entity"),
        ({"features": ["hidden:secret"]}, "invalid_request", "online=False"),
        ({"features": ["times:ticks"]}, "invalid_request", "UNIX_TIMESTAMP"),
        ({"features": ["sets:codes"]}, "invalid_request", "INT64_SET"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(
    odd_service: FeastService, asked: dict[str, Any], code: str, said: str
) -> None:
    answer = odd_service.post("get-online-features", {**asked, "entities": {"code": ["eA=="]}})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert said in answer.json()["detail"]


ROUTE = {"tail": [1], "origin": ["EWR"], "dest": ["IAH"]}
ONE = {"features": ["route:flights"], "entities": ROUTE}
POISON: list[tuple[Any, int, str, str]] = [
    ("", 400, "malformed_json", ""),
    ("{", 400, "malformed_json", "line 1"),
    (b"\xff\xfe{}", 400, "malformed_json", ""),
    ('{"entities": {"tail": ["\\ud800"]}}', 400, "malformed_json", ""),
    ("[" * 100_000, 400, "malformed_json", ""),
    (
        '{"entities": {"tail": [' + "[" * 150 + "]" * 150 + ']}, "features": ["route:flights"]}',
        422,
        "invalid_request",
        "/entities/",
    ),
    (
        '{"entities": {"gate_number": [' + "9" * 5000 + ']}, "features": ["gate:walk"]}',
        400,
        "malformed_json",
        "",
    ),
    ("null", 422, "invalid_request", "an object"),
    ("[]", 422, "invalid_request", "an object"),
    ({}, 422, "invalid_request", "/entities"),
    ({"entities": None}, 422, "invalid_request", "/entities"),
    ({"entities": {}, "features": ["route:flights"]}, 422, "invalid_request", "entities"),
    ({"entities": []}, 422, "invalid_request", "/entities"),
    ({"entities": {"tail": 1}}, 422, "invalid_request", "/entities/tail"),
    ({"entities": ROUTE}, 422, "invalid_request", "features"),
    ({"entities": ROUTE, "features": []}, 422, "invalid_request", "features"),
    ({"entities": ROUTE, "features": "route:flights"}, 422, "invalid_request", "/features"),
    ({"entities": ROUTE, "features": [1]}, 422, "invalid_request", "/features/0"),
    ({"entities": ROUTE, "features": ["route"]}, 422, "invalid_request", "/features/0"),
    ({"entities": ROUTE, "features": [""]}, 422, "invalid_request", "/features/0"),
    ({"entities": ROUTE, "features": [":"]}, 404, "unknown_feature_view", "/features/0"),
    ({"entities": ROUTE, "features": ["nope:flights"]}, 404, "unknown_feature_view", "/features/0"),
    (
        {"entities": ROUTE, "features": ["route@v1:flights"]},
        404,
        "unknown_feature_view",
        "/features/0",
    ),
    (
        {"entities": ROUTE, "features": ["../route:flights"]},
        404,
        "unknown_feature_view",
        "/features/0",
    ),
    (
        {"entities": ROUTE, "features": ["route:flights", "route:"]},
        404,
        "unknown_feature",
        "/features/1",
    ),
    ({"entities": ROUTE, "features": ["route:flights"] * 2}, 422, "invalid_request", "/features/1"),
    (
        {"entities": ROUTE, "feature_service": "nope"},
        404,
        "unknown_feature_service",
        "/feature_service",
    ),
    ({"entities": ROUTE, "feature_service": 1}, 422, "invalid_request", "/feature_service"),
    ({**ONE, "feature_service": "flight_v1"}, 422, "invalid_request", "expected one"),
    ({**ONE, "more": 1}, 422, "invalid_request", "/more"),
    ({**ONE, "full_feature_names": "yes"}, 422, "invalid_request", "/full_feature_names"),
    (
        {**ONE, "entities": {"tail": [1], "origin": ["EWR"]}},
        422,
        "invalid_request",
        "/entities/dest",
    ),
    ({**ONE, "entities": {**ROUTE, "tail": [1, 2]}}, 422, "invalid_request", "/entities/"),
    ({**ONE, "entities": {**ROUTE, "tail": [1.0]}}, 422, "invalid_request", "/entities/tail/0"),
    ({**ONE, "entities": {**ROUTE, "tail": ["1"]}}, 422, "invalid_request", "/entities/tail/0"),
    ({**ONE, "entities": {**ROUTE, "tail": [True]}}, 422, "invalid_request", "/entities/tail/0"),
    ({**ONE, "entities": {**ROUTE, "tail": [2**63]}}, 422, "invalid_request", "/entities/tail/0"),
    (
        {**ONE, "entities": {**ROUTE, "tail": [-(2**70)]}},
        422,
        "invalid_request",
        "/entities/tail/0",
    ),
    (
        {**ONE, "entities": {**ROUTE, "tail": [float("nan")]}},
        422,
        "invalid_request",
        "/entities/tail/0",
    ),
    ({**ONE, "entities": {**ROUTE, "tail": [{}]}}, 422, "invalid_request", "/entities/tail/0"),
    ({**ONE, "entities": {**ROUTE, "dest": [1]}}, 422, "invalid_request", "/entities/dest/0"),
    ({**ONE, "entities": {**ROUTE, "dest": ["a\0b"]}}, 422, "invalid_request", "/entities/dest/0"),
    (
        {**ONE, "entities": {**ROUTE, "dest": ["x" * 257]}},
        422,
        "invalid_request",
        "/entities/dest/0",
    ),
    (
        {"features": ["gate:walk"], "entities": {"gate_number": [1] * 1001}},
        422,
        "invalid_request",
        "at most 1000",
    ),
    (
        '{"features": ["gate:walk"], "features": [], "entities": {"gate_number": [1]}}',
        422,
        "invalid_request",
        "twice",
    ),
    (
        '{"features": ["gate:walk"], "entities": {"gate_number": [1], "gate_number": [2]}}',
        422,
        "invalid_request",
        "twice",
    ),
    (
        '{"features": ["gate:walk"], "entities": {"gate_number": [1e999]}}',
        422,
        "invalid_request",
        "/entities/gate_number/0",
    ),
]


@pytest.mark.parametrize(("body", "status", "code", "said"), POISON)
def test_a_bad_look_up_is_refused_with_its_place(
    service: FeastService, body: Any, status: int, code: str, said: str
) -> None:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    answer = service.client.post(
        "/feast/get-online-features",
        content=content,
        headers={"Content-Type": "application/json"},
    )
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert said in problem["detail"]


def test_a_body_must_be_json_of_a_moderate_size(service: FeastService) -> None:
    for options, status in (
        ({"content": b"{}", "headers": {"Content-Type": "text/csv"}}, 415),
        (
            {
                "content": b"{" + b" " * 2**20 + b"}",
                "headers": {"Content-Type": "application/json"},
            },
            413,
        ),
    ):
        assert service.client.post("/feast/get-online-features", **options).status_code == status
    assert service.client.get("/feast/get-online-features").status_code == 405


def test_many_places_are_named_but_not_all(service: FeastService) -> None:
    body = {"features": ["gate:walk"], "entities": {"gate_number": ["x"] * 900}}
    errors = service.post("get-online-features", body).json()["errors"]
    assert [error["pointer"] for error in errors] == [
        f"/entities/gate_number/{i}" for i in range(20)
    ]
