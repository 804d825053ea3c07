"""Aliases, rollouts and versions are changed over HTTP, and the service follows at once."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE
from tests.support.settings import make_settings
from tests.support.whole_service import publish_every_kind

MODEL = "/v1/models/arrival_delay"
CHAMPION = f"{MODEL}/labels/champion"
CHAMPIONS_ARM = {"name": "champion", "alias": "champion", "weight": 0.9}
ROLLOUT: dict[str, Any] = {
    "kind": "canary",
    "arms": [CHAMPIONS_ARM, {"name": "candidate", "version": 2, "weight": 0.1}],
}


@pytest.fixture
def client(tmp_path: Path, online_store: Path) -> Iterator[AppClient]:
    publish_every_kind(tmp_path)
    with AppClient(create_app(make_settings(tmp_path, online_store))) as running:
        yield running


def predict(client: AppClient, path: str = f"{MODEL}:predict") -> Any:
    return client.post(path, json={"instances": [EXAMPLE]})


def refused(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    return str(response.json()["code"])


def test_a_move_is_served_when_it_is_answered(client: AppClient) -> None:
    assert predict(client).json()["version"] == 1
    move = {"version": 2, "actor": "Ann", "reason": "It is better."}
    moved = client.put(CHAMPION, json=move)
    assert (moved.status_code, moved.json()["version"]) == (200, 2)
    assert predict(client).json()["version"] == 2
    change = client.get(f"{MODEL}/history").json()["changes"][0]
    assert (change["actor"], change["reason"], change["subject"]) == (
        *("Ann", "It is better.", "champion"),
    )
    assert (change["before"], change["after"]) == ({"version": 1}, {"version": 2})


def test_only_one_of_two_who_saw_the_same_moves(client: AppClient) -> None:
    seen = client.get(CHAMPION).headers["etag"]
    moved = client.put(CHAMPION, json={"version": 2}, headers={"If-Match": seen})
    assert moved.status_code == 200
    lost = client.put(CHAMPION, json={"version": 1}, headers={"If-Match": seen})
    assert refused(lost, 412) == "revision_conflict"
    again = {"If-Match": moved.headers["etag"]}
    assert client.put(CHAMPION, json={"version": 1}, headers=again).status_code == 200
    fresh = {"If-None-Match": "*"}
    assert client.put(f"{MODEL}/labels/new", json={"version": 1}, headers=fresh).status_code == 200
    taken = client.put(f"{MODEL}/labels/new", json={"version": 2}, headers=fresh)
    assert refused(taken, 412) == "revision_conflict"


def test_an_alias_is_taken_away(client: AppClient) -> None:
    assert client.delete(f"{MODEL}/labels/challenger").status_code == 204
    assert refused(predict(client, f"{MODEL}/labels/challenger:predict"), 404) == "unknown_alias"
    assert refused(client.delete(f"{MODEL}/labels/challenger"), 404) == "unknown_alias"


def test_a_rollout_is_set_shown_and_ended(client: AppClient) -> None:
    assert refused(client.get(f"{MODEL}/rollout"), 404) == "unknown_rollout"
    stored = client.put(f"{MODEL}/rollout", json={"rollout": ROLLOUT})
    shown = client.get(f"{MODEL}/rollout")
    assert shown.json() == stored.json()
    assert shown.headers["etag"] == stored.headers["etag"] == f'"r{stored.json()["revision"]}"'
    assert refused(client.delete(f"{MODEL}/labels/champion"), 409) == "registry_conflict"
    assert client.delete(f"{MODEL}/rollout").status_code == 204


def test_a_retired_version_is_gone_until_it_is_brought_back(client: AppClient) -> None:
    version = f"{MODEL}/versions/2"
    assert refused(client.post(f"{version}:retire"), 409) == "registry_conflict"
    client.delete(f"{MODEL}/labels/challenger")
    assert client.post(f"{version}:retire", json={"reason": "Old."}).json()["state"] == "retired"
    assert refused(predict(client, f"{version}:predict"), 410) == "version_retired"
    assert client.get(version).json()["model_version_status"][0]["state"] == "END"
    assert refused(client.put(CHAMPION, json={"version": 2}), 409) == "registry_conflict"
    assert client.post(f"{version}:reactivate").json()["state"] == "staged"
    assert predict(client, f"{version}:predict").status_code == 200


def test_the_callers_of_a_deprecated_version_are_told(client: AppClient) -> None:
    assert "deprecation" not in predict(client).headers
    sunset = {"sunset_at": "2100-01-01T01:00:00+01:00"}
    answer = client.post(f"{MODEL}/versions/1:deprecate", json=sunset)
    since = datetime.fromisoformat(answer.json()["deprecated_at"])
    infer = client.get("/v2/models/arrival_delay").status_code
    for told in (predict(client), client.get(f"{MODEL}/versions/1")):
        assert told.headers["deprecation"] == f"@{int(since.timestamp())}"
        assert told.headers["sunset"] == "Fri, 01 Jan 2100 00:00:00 GMT"
    assert infer == 200
    assert "sunset" not in predict(client, f"{MODEL}/versions/2:predict").headers
    past = {"sunset_at": datetime(2001, 1, 1, tzinfo=UTC).isoformat()}
    late = client.post(f"{MODEL}/versions/1:deprecate", json=past)
    assert refused(late, 409) == "registry_conflict"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("PUT", CHAMPION, {"version": 0}, {}, 422),
        ("PUT", CHAMPION, {"version": "1"}, {}, 422),
        ("PUT", CHAMPION, {"version": 1, "poison": 1}, {}, 422),
        ("PUT", CHAMPION, {"version": 1, "reason": "a\0b"}, {}, 422),
        ("PUT", CHAMPION, {"version": 1, "reason": "x" * 1001}, {}, 422),
        ("PUT", CHAMPION, {"version": 9}, {}, 404),
        ("PUT", CHAMPION, {"version": 1}, {"If-Match": "r1"}, 422),
        ("PUT", CHAMPION, {"version": 1}, {"If-None-Match": '"r1"'}, 422),
        ("PUT", CHAMPION, {"version": 1}, {"If-None-Match": "*", "If-Match": '"r1"'}, 422),
        ("PUT", "/v1/models/nope/labels/champion", {"version": 1}, {}, 404),
        ("PUT", f"{MODEL}/labels/Bad", {"version": 1}, {}, 404),
        ("PUT", f"{MODEL}/rollout", {"rollout": {**ROLLOUT, "arms": []}}, {}, 422),
        ("PUT", f"{MODEL}/rollout", {"rollout": {**ROLLOUT, "kind": "magic"}}, {}, 422),
        ("PUT", f"{MODEL}/rollout", {"rollout": ROLLOUT | {"arms": [CHAMPIONS_ARM]}}, {}, 422),
        ("POST", f"{MODEL}/versions/2:deprecate", {"sunset_at": "2100-01-01T00:00:00"}, {}, 422),
        (
            "POST",
            f"{MODEL}/versions/2:deprecate",
            {"sunset_at": "9999-12-31T23:59:59-14:00"},
            {},
            422,
        ),
        ("POST", f"{MODEL}/versions/9:retire", {}, {}, 404),
        ("GET", f"{MODEL}/history?limit=0", None, {}, 422),
        ("GET", f"{MODEL}/history?before=x", None, {}, 422),
    ],
)
def test_bad_changes_are_refused(
    client: AppClient,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
    status: int,
) -> None:
    response = client.request(method, path, json=body, headers=headers)
    assert response.status_code == status, response.text
    assert response.json()["detail"].startswith("Got ")
    assert predict(client).json()["version"] == 1


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        ({"version": 2**63}, "Got 9223372036854775808 at /rollout/arms/1/version"),
        ({"version": True}, "Got true at /rollout/arms/1/version, but expected a whole number."),
        ({"version": "2"}, 'Got "2" at /rollout/arms/1/version, but expected a whole number.'),
        ({"weight": True}, "Got true at /rollout/arms/1/weight, but expected a number."),
        ({"weight": 0.2}, "Got weights that add up to 1.1 at /rollout, but expected 1."),
        ({"name": "A"}, 'Got "A" at /rollout/arms/1/name, but expected text that matches ^[a-z]'),
        ({"name": "champion"}, "Got the names champion, champion at /rollout, but expected each"),
        ({"alias": "champion"}, "Got version 2 and alias champion at /rollout/arms/1, but"),
    ],
)
def test_a_refused_rollout_says_where_and_what_was_expected(
    client: AppClient, candidate: dict[str, Any], said: str
) -> None:
    arms = [CHAMPIONS_ARM, ROLLOUT["arms"][1] | candidate]
    refused = client.put(f"{MODEL}/rollout", json={"rollout": ROLLOUT | {"arms": arms}})
    assert refused.status_code == 422, refused.text
    assert refused.json()["detail"].startswith(said)
    assert refused.json()["errors"][0]["message"] == refused.json()["detail"]


@pytest.mark.parametrize(
    "given", [5, "soon", "2100-01-01", "2100-01-01T00:00:00", "2100-13-01T00:00:00Z"]
)
def test_what_is_no_moment_is_told_what_one_is(client: AppClient, given: Any) -> None:
    refused = client.post(f"{MODEL}/versions/2:deprecate", json={"sunset_at": given})
    problem = refused.json()["errors"][0]
    assert problem["pointer"] == "/sunset_at"
    assert problem["expected"] == "a moment in RFC 3339 with its UTC offset"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=0", "Got limit='0' in the query, but expected a number of at least 1."),
        ("limit=1001", "Got limit='1001' in the query, but expected a number of at most 1000."),
        ("before=x", "Got before='x' in the query, but expected a whole number."),
    ],
)
def test_a_parameter_that_is_refused_says_what_was_expected(
    client: AppClient, query: str, expected: str
) -> None:
    refused = client.get(f"{MODEL}/history?{query}")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert refused.json()["detail"] == expected


def test_nobody_changes_the_registry_where_that_is_not_allowed(
    tmp_path: Path, online_store: Path
) -> None:
    publish_every_kind(tmp_path)
    settings = make_settings(tmp_path, online_store, allow_registry_changes=False)
    with AppClient(create_app(settings)) as client:
        response = client.put(CHAMPION, json={"version": 1})
        assert response.status_code == 403
        assert response.json()["code"] == "changes_forbidden"
