"""An alias moves only to a version with which its callers can go on, unless that is wanted."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE, FIELDS, PLAN, make_manifest, publish, sum_graph
from tests.support.settings import make_settings
from zeroskew.contract.errors.service import InvalidInstancesError
from zeroskew.contract.manifest import FieldType, JoinKey, Manifest, Output, RequestField
from zeroskew.contract.request_change import check_callers_fit
from zeroskew.model.requests.field_types import InstanceLimits
from zeroskew.model.requests.schemas import ModelSchema

GRAPH = sum_graph(6, 2)
ALIAS = "/v1/models/arrival_delay/labels/champion"
PREDICT = "/v1/models/arrival_delay:predict"
LIMITS = InstanceLimits(max_instances=10, max_text_length=20)
GATE = RequestField(name="gate", type=FieldType.STRING, description="Gate.", example="A1")
CARRIER_VIEW, ROUTE_VIEW = PLAN.views


def with_field(field: str, **changes: Any) -> tuple[RequestField, ...]:
    return tuple(one.model_copy(update=changes) if one.name == field else one for one in FIELDS)


def manifest_of(request: Sequence[RequestField], **changes: Any) -> Manifest:
    example = {field.name: field.example for field in request}
    return make_manifest(GRAPH, request=tuple(request), example=example, **changes)


# What callers of FIELDS may send: each choice, a null, and numbers at the ends.
REQUESTS = [
    EXAMPLE,
    EXAMPLE | {"carrier": "DL", "dest": None, "seats": 2**63 - 1, "origin": ""},
    EXAMPLE | {"carrier": "AA", "seats": -(2**63), "distance": -0.5, "international": True},
]
REQUEST_CHANGES = {
    "the same again": (FIELDS, ""),
    "in another order": (FIELDS[::-1], ""),
    "one more choice": (with_field("carrier", choices=("UA", "AA", "DL", "B6")), ""),
    "no choices any more": (with_field("carrier", choices=None), ""),
    "null let through": (with_field("origin", nullable=True), ""),
    "another description": (with_field("origin", description="Whence."), ""),
    "one more field": ((*FIELDS, GATE), "'gate' is new"),
    "one more that may be null": (
        (*FIELDS, GATE.model_copy(update={"nullable": True})),
        "'gate' is new",
    ),
    "one field less": (FIELDS[:3] + FIELDS[4:], "'seats' is gone"),
    "renamed": (with_field("seats", name="n_seats"), "'n_seats' is new"),
    "number to integer": (
        with_field("distance", type=FieldType.INTEGER, example=1400),
        "'distance' is integer, and they send number",
    ),
    "text to timestamp": (
        with_field("origin", type=FieldType.TIMESTAMP, example="2013-10-01T10:17:00Z"),
        "'origin' is timestamp, and they send string",
    ),
    "boolean to text": (
        with_field("international", type=FieldType.STRING, example="no"),
        "'international' is string, and they send boolean",
    ),
    "null refused": (with_field("dest", nullable=False), "'dest' takes no null"),
    "one choice less": (with_field("carrier", choices=("UA", "DL")), "has no choice 'AA'"),
    "choices for any text": (with_field("origin", choices=("EWR", "JFK")), "'origin' has choices"),
}


@pytest.mark.parametrize("change", REQUEST_CHANGES)
def test_a_request_is_broken_where_the_service_would_refuse_it(change: str) -> None:
    request, told = REQUEST_CHANGES[change]
    after = manifest_of(request)
    if told:
        with pytest.raises(ValueError, match=told) as refused:
            check_callers_fit("champion", 3, make_manifest(GRAPH), after)
        assert len(str(refused.value)) < 200
    else:
        check_callers_fit("champion", 3, make_manifest(GRAPH), after)
    schema = ModelSchema(after, 4, LIMITS)
    is_taken = True
    for instance in REQUESTS:
        try:
            schema.parse(json.dumps({"instances": [instance]}).encode())
        except InvalidInstancesError:
            is_taken = False
    assert is_taken == (not told)


def test_a_key_that_becomes_one_of_32_bits_takes_less() -> None:
    def with_key(kind: Any) -> Manifest:
        view = CARRIER_VIEW.model_copy(
            update={"join_keys": (JoinKey(name="seats", field="seats", type=kind),)}
        )
        return make_manifest(GRAPH, golden_keys=()).model_copy(
            update={"plan": PLAN.model_copy(update={"views": (view, ROUTE_VIEW)})}
        )

    check_callers_fit("champion", 1, with_key("INT32"), with_key("INT64"))
    with pytest.raises(ValueError, match="'seats' is a key of 32 bits"):
        check_callers_fit("champion", 1, with_key("INT64"), with_key("INT32"))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"unit": "minutes"}, {"unit": "hours"}, "is in hours, and they get minutes"),
        ({"unit": None}, {"unit": "hours"}, ""),
        ({}, {"description": "Another."}, ""),
        ({}, {"kind": "probability", "threshold": 0.5}, "is a probability, and they get a value"),
        (
            {"kind": "probabilities", "classes": ("a", "b")},
            {"kind": "probabilities", "classes": ("a", "c")},
            "other classes",
        ),
        (
            {"kind": "probabilities", "classes": ("a", "b")},
            {"kind": "probabilities", "classes": ("b", "a")},
            "",
        ),
    ],
)
def test_an_answer_in_another_form_is_a_break(
    before: dict[str, Any], after: dict[str, Any], told: str
) -> None:
    standing, coming = (
        make_manifest(GRAPH, output=Output(**({"kind": "value", "description": "d"} | changes)))
        for changes in (before, after)
    )
    if told:
        with pytest.raises(ValueError, match=told):
            check_callers_fit("champion", 1, standing, coming)
    else:
        check_callers_fit("champion", 1, standing, coming)


@pytest.fixture
def client(tmp_path: Path, online_store: Path) -> Iterator[AppClient]:
    """Versions 1 and 2 are alike; 3 wants one more field, and 4 fails the load gate."""
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    for manifest in (
        make_manifest(GRAPH, description="Another."),
        manifest_of((*FIELDS, GATE)),
        make_manifest(GRAPH, example=EXAMPLE | {"origin": "x" * 302}),
    ):
        publish(tmp_path, manifest, GRAPH, alias=None)
    with AppClient(create_app(make_settings(tmp_path, online_store))) as running:
        yield running


def move(client: AppClient, version: int, alias: str = "champion", **changes: Any) -> Any:
    return client.put(ALIAS.replace("champion", alias), json={"version": version, **changes})


def test_a_move_that_callers_would_not_survive_is_refused_unless_it_is_wanted(
    client: AppClient,
) -> None:
    refused = move(client, 3)
    assert (refused.status_code, refused.json()["code"]) == (409, "registry_conflict")
    assert "'gate' is new, and they do not send it" in refused.json()["detail"]
    assert "allow_request_change" in refused.json()["detail"]
    assert client.post(PREDICT, json={"instances": [EXAMPLE]}).json()["version"] == 1
    assert move(client, 2).status_code == 200
    assert move(client, 3, allow_request_change=True).status_code == 200
    assert client.post(PREDICT, json={"instances": [EXAMPLE]}).status_code == 422
    # The way back is a break as well: callers who have followed send the field.
    assert "'gate' is gone" in move(client, 1).json()["detail"]
    assert move(client, 1, allow_request_change=True).status_code == 200


def test_an_alias_without_callers_goes_where_it_likes(client: AppClient) -> None:
    assert move(client, 3, "challenger").status_code == 200
    assert move(client, 1, "challenger").status_code == 409


def test_a_version_that_the_load_gate_refuses_gets_no_alias(client: AppClient) -> None:
    refused = move(client, 4, allow_request_change=True)
    assert refused.status_code == 409
    assert "/origin" in refused.json()["detail"]


def test_an_alias_of_a_rollout_moves_to_what_fits_the_rollout(client: AppClient) -> None:
    assert move(client, 2, "challenger").status_code == 200
    rollout = {
        "kind": "canary",
        "arms": [
            {"name": "champion", "alias": "champion", "weight": 0.9},
            {"name": "candidate", "alias": "challenger", "weight": 0.1},
        ],
    }
    where = "/v1/models/arrival_delay/rollout"
    assert client.put(where, json={"rollout": rollout}).status_code == 200
    refused = move(client, 3, "challenger", allow_request_change=True)
    assert refused.status_code == 409
    assert "'candidate', whose request differs" in refused.json()["detail"]
    assert client.delete(where).status_code == 204
    assert move(client, 3, "challenger", allow_request_change=True).status_code == 200
