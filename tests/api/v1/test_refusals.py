"""Bad input to every address: a 4xx that names the place, never a 5xx, never another score."""

import json
import re
from typing import Any

import httpx
import pytest

from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE
from tests.support.service_log import service_log

PREDICT = "/v1/models/arrival_delay:predict"


def body(field: str, text: str) -> bytes:
    """Return the example as a request with raw JSON `text` as the value of `field`."""
    pairs = [(name, json.dumps(value)) for name, value in EXAMPLE.items() if name != field]
    inner = ", ".join(f'"{name}": {value}' for name, value in [*pairs, (field, text)])
    return f'{{"instances": [{{{inner}}}]}}'.encode()


def post(client: AppClient, content: bytes, **headers: str) -> httpx.Response:
    headers = {"content-type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return client.post(PREDICT, content=content, headers=headers)


def check_problem(response: httpx.Response, status: int, code: str) -> Any:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == response.headers["x-request-id"]
    for leak in ("pytest-of-", "sqlite", "SELECT", "Traceback", "pydantic"):
        assert leak not in response.text
    return problem


@pytest.mark.parametrize(
    ("field", "text", "got", "expected"),
    [
        ("carrier", "1", "1", "'UA', 'AA' or 'DL'"),
        ("carrier", "null", "null", "'UA', 'AA' or 'DL'"),
        ("carrier", '"XX"', '"XX"', "'UA', 'AA' or 'DL'"),
        ("carrier", "NaN", "NaN", "'UA', 'AA' or 'DL'"),
        ("origin", "NaN", "NaN", "a string"),
        ("origin", "-Infinity", "-Infinity", "a string"),
        ("origin", "{}", "an object", "a string"),
        ("origin", '"' + "x" * 257 + '"', None, "at most 256 characters"),
        ("origin", '"E\\u0000R"', '"E\\u0000R"', "text without NUL"),
        ("seats", '"1"', '"1"', "a whole number"),
        ("seats", "true", "true", "a whole number"),
        ("seats", "1.5", "1.5", "a whole number"),
        ("seats", "1e999", "Infinity", "a whole number"),
        ("seats", "9007199254740994.0", "9007199254740994.0", "a whole number"),
        ("seats", "9223372036854775808", None, "a number of at most 9223372036854775807"),
        ("seats", "-9223372036854775809", None, "a number of at least -9223372036854775808"),
        ("seats", "1" + "0" * 4000, "a very large whole number", None),
        ("distance", '"1"', '"1"', "a number"),
        ("distance", "true", "true", "a number"),
        ("distance", "NaN", "NaN", "a finite number"),
        ("distance", "Infinity", "Infinity", "a finite number"),
        ("distance", "-Infinity", "-Infinity", "a finite number"),
        ("distance", "1e999", "Infinity", "a finite number"),
        ("distance", "[1]", "a list of 1", "a number"),
        ("distance", "9007199254740993", "9007199254740993", "a whole number that float64 holds"),
        ("distance", "-9007199254740993", "-9007199254740993", "a whole number that float64 holds"),
        ("distance", f"{2**70 + 1}", "a very large whole number", None),
        ("distance", "1" + "0" * 4000, None, None),
        ("distance", "3.5e38", "3.5e+38", "a number of at most 3.4028234663852886e+38"),
        ("distance", "-3.5e38", "-3.5e+38", "a number of at least -3.4028234663852886e+38"),
        ("international", "0", "0", "true or false"),
        ("international", '"true"', '"true"', "true or false"),
        ("scheduled_departure", "1380637020", "1380637020", "a string"),
        ("scheduled_departure", '"1380637020"', None, None),
        ("scheduled_departure", '"2013-10-01T10:17:00"', None, None),
        ("scheduled_departure", '"2013-10-01"', None, None),
        ("scheduled_departure", '"2013-02-30T10:17:00Z"', None, None),
        ("scheduled_departure", '"2013-10-01T24:00:00Z"', None, None),
        ("scheduled_departure", '"2013-10-01T10:17:60Z"', None, None),
        ("scheduled_departure", '"2013-10-01T10:17:00+24:00"', None, None),
        ("scheduled_departure", '"2013-10-01T10:17:00+05:75"', None, None),
        ("scheduled_departure", '"0000-01-01T00:00:00Z"', None, None),
        ("scheduled_departure", '"10000-01-01T00:00:00Z"', None, None),
        ("scheduled_departure", '"\uff12\uff1013-10-01T10:17:00Z"', None, None),
        ("scheduled_departure", '"2013-10-01T10:17:00Z\\n"', None, None),
        ("gate", "1", "1", "no field of that name"),
        ("gate", "NaN", "NaN", "no field of that name"),
        ("gate", "1e999", "Infinity", "no field of that name"),
        ("a/b~c", "1", "1", "no field of that name"),
        ("field_0", '"UA"', '"UA"', "no field of that name"),
    ],
)
def test_a_refused_value_is_named(
    client: AppClient, field: str, text: str, got: str | None, expected: str | None
) -> None:
    problem = check_problem(post(client, body(field, text)), 422, "invalid_instances")
    (error,) = problem["errors"]
    assert error["pointer"] == "/instances/0/" + field.replace("~", "~0").replace("/", "~1")
    if got is not None:
        assert error["got"] == got
    if expected is not None:
        assert error["expected"] == expected
    if field == "scheduled_departure" and text.startswith('"'):
        assert "UTC offset" in error["expected"]
    assert error["message"] in problem["detail"]


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        (body("seats", '2, "seats": 1'), "/instances/0/seats"),
        (body("seats", "1").replace(b"{", b'{"instances": [], ', 1), "/instances"),
        (body("seats", '1, "se\\u0061ts": 2'), "/instances/0/seats"),
        (body("seats", "[" * 100 + "]" * 100 + ', "seats": 1'), "/instances/0/seats"),
    ],
)
def test_a_name_given_twice_is_named(client: AppClient, content: bytes, pointer: str) -> None:
    (error,) = check_problem(post(client, content), 422, "invalid_instances")["errors"]
    assert (error["pointer"], error["got"]) == (pointer, "a repeated name")


def test_a_very_long_name_is_not_sent_back(client: AppClient) -> None:
    response = post(client, body("x" * 100_000, "1"))
    check_problem(response, 422, "invalid_instances")
    assert len(response.content) < 2000


@pytest.mark.parametrize("field", list(EXAMPLE))
def test_a_missing_field_is_named(client: AppClient, field: str) -> None:
    instance = {name: value for name, value in EXAMPLE.items() if name != field}
    response = client.post(PREDICT, json={"instances": [EXAMPLE, instance]})
    (error,) = check_problem(response, 422, "invalid_instances")["errors"]
    assert error == {
        "pointer": f"/instances/1/{field}",
        "got": "nothing",
        "expected": "a value",
        "message": f"Got nothing at /instances/1/{field}, but expected a value.",
    }


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        (b"{}", "/instances"),
        (b"[]", ""),
        (b"1", ""),
        (b"NaN", ""),
        (b"1e999", ""),
        (b'{"instances": []}', "/instances"),
        (b'{"instances": {}}', "/instances"),
        (b'{"instances": NaN}', "/instances"),
        (b'{"instances": [1]}', "/instances/0"),
        (b'{"instances": [null]}', "/instances/0"),
        (b'{"instances": [[]]}', "/instances/0"),
    ],
)
def test_a_body_of_another_shape_is_refused_where_it_differs(
    client: AppClient, content: bytes, pointer: str
) -> None:
    problem = check_problem(post(client, content), 422, "invalid_instances")
    assert problem["errors"][0]["pointer"] == pointer


def test_an_unknown_top_level_field_is_named(client: AppClient) -> None:
    response = client.post(PREDICT, json={"instances": [EXAMPLE], "parameters": {}})
    (error,) = check_problem(response, 422, "invalid_instances")["errors"]
    assert error["pointer"] == "/parameters"


def test_too_many_instances_are_counted(client: AppClient) -> None:
    response = client.post(PREDICT, json={"instances": [EXAMPLE] * 1001})
    (error,) = check_problem(response, 422, "invalid_instances")["errors"]
    assert (error["got"], error["expected"]) == ("a list of 1001", "a list of at most 1000")


def test_many_findings_are_listed_up_to_twenty(client: AppClient) -> None:
    strange = {f"m{number}": 1 for number in range(63)}
    body = json.dumps({"instances": [EXAMPLE, strange, {}]}).encode()
    problem = check_problem(post(client, body), 422, "invalid_instances")
    assert len(problem["errors"]) == 20
    # The seven fields and the 63 unknown ones of the first instance that is wrong.
    assert problem["detail"].endswith("The body has 69 more errors.")
    assert {error["pointer"].split("/")[2] for error in problem["errors"]} == {"1"}


@pytest.mark.parametrize("is_instance", [True, False])
def test_thousands_of_findings_are_only_counted(client: AppClient, is_instance: bool) -> None:
    strange = {f"m{number}": 1 for number in range(2000)}
    body = json.dumps({"instances": [strange]} if is_instance else strange).encode()
    problem = check_problem(post(client, body), 422, "invalid_instances")
    assert re.search(r"Got 20\d\d mistakes at the top", problem["detail"])


@pytest.mark.parametrize(
    ("content", "position"),
    [
        (b"", "line 1, column 0"),
        (b"{", "line 1, column 1"),
        (b'{"instances": [}', "line 1, column 16"),
        (b'{"instances":\n [1,]}', "line 2, column 5"),
        (b"\xff", "line 1, column 1"),
        (b'{"instances": ["\xff"]}', "line 1, column"),
        (b"\xef\xbb\xbf{}", "line 1, column 1"),
        (b"[" * 100_000, "line 1, column"),
        (b"9" * 5000, "line 1, column"),
        (b'{"instances": [{"origin": "\\ud800"}]}', "line 1, column"),
        (b'{"instances": [{"\\udfff": 1}]}', "line 1, column"),
        (b'{"instances": [{"origin": "E\nR"}]}', "line"),
        (b'{"instances": []} {}', "line 1, column 19"),
    ],
)
def test_what_is_not_json_is_refused_with_its_position(
    client: AppClient, content: bytes, position: str
) -> None:
    problem = check_problem(post(client, content), 400, "malformed_json")
    assert position in problem["detail"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/models/nope:predict", "unknown_model"),
        ("/v1/models/nope/versions/1:predict", "unknown_model"),
        ("/v1/models/nope/labels/champion:predict", "unknown_model"),
        ("/v1/models/Robert'); DROP TABLE model;--:predict", "unknown_model"),
        ("/v1/models/%00:predict", "unknown_model"),
        ("/v1/models/%ed%a0%80:predict", "unknown_model"),
        ("/v1/models/arrival_delay/versions/99:predict", "unknown_version"),
        ("/v1/models/arrival_delay/versions/0:predict", "unknown_version"),
        ("/v1/models/arrival_delay/versions/-1:predict", "unknown_version"),
        ("/v1/models/arrival_delay/versions/1.0:predict", "unknown_version"),
        ("/v1/models/arrival_delay/versions/one:predict", "unknown_version"),
        (f"/v1/models/arrival_delay/versions/{'9' * 5000}:predict", "unknown_version"),
        ("/v1/models/arrival_delay/labels/nope:predict", "unknown_alias"),
        ("/v1/models/arrival_delay/labels/%00:predict", "unknown_alias"),
        ("/v1/models/arrival_delay:explain", "unknown_route"),
        ("/v1/models/a/b:predict", "unknown_route"),
        ("/v1/nothing", "unknown_route"),
    ],
)
def test_what_does_not_exist_is_not_found(client: AppClient, path: str, code: str) -> None:
    check_problem(client.post(path, json={"instances": [EXAMPLE]}), 404, code)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", PREDICT, "POST"),
        ("PUT", PREDICT, "POST"),
        ("GET", "/v1/models/arrival_delay/versions/1:predict", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/models/arrival_delay", "GET"),
    ],
)
def test_another_method_is_refused_with_the_right_one(
    client: AppClient, method: str, path: str, allowed: str
) -> None:
    response = client.request(method, path)
    check_problem(response, 405, "method_not_allowed")
    assert allowed in response.headers["allow"].split(", ")
    assert response.json()["detail"] == (
        f"Got {method}, but expected one of {response.headers['allow']} at this address."
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "application/json; charset=utf-16"},
        {"content_encoding": "gzip"},
        {"content_type": 'application/json;a="' + '\\";' * 1000},
        {"content_type": f"application/json; charset*{'1' * 5000}*=utf-8"},
    ],
)
def test_another_media_type_is_refused(client: AppClient, headers: dict[str, str]) -> None:
    check_problem(post(client, body("seats", "1"), **headers), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=UTF-8",
        "application/json; charset=utf8",
        "application/vnd.api+json",
    ],
)
def test_json_under_its_other_names_is_taken(client: AppClient, content_type: str) -> None:
    assert post(client, body("seats", "1"), content_type=content_type).status_code == 200


def test_a_body_without_a_type_is_refused(client: AppClient) -> None:
    # A page of another site can send such a one without the browser asking first.
    for path in (PREDICT, "/v1/feedback", "/v1/models/arrival_delay/versions/1:retire"):
        response = client.post(path, content=body("seats", "1"), headers={"content-type": ""})
        assert "content-type" not in response.request.headers
        check_problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", PREDICT),
        ("POST", "/v1/models/nope:predict"),
        ("POST", "/v1/models/arrival_delay/versions/9:predict"),
        ("POST", "/v1/models/arrival_delay:explain"),
        ("GET", "/v1/models/nope"),
        ("PUT", "/v1/models"),
    ],
)
def test_kserves_client_reads_why(client: AppClient, method: str, path: str) -> None:
    # It takes `error` out of `application/json` alone, and accepts anything.
    plain = client.request(method, path, json={}, headers={"accept": "*/*"})
    assert plain.headers["content-type"] == "application/json"
    problem = client.request(method, path, json={})
    assert problem.headers["content-type"] == "application/problem+json"
    assert plain.json()["error"] == problem.json()["detail"] != ""


def test_what_kserves_client_does_not_ask_is_refused_with_problem_details(
    client: AppClient,
) -> None:
    for path in ("/v1/models/nope/versions/1", "/v1/models/nope/metadata", "/v1/registry/nope"):
        refused = client.get(path, headers={"accept": "*/*"})
        assert refused.headers["content-type"] == "application/problem+json"


def test_a_body_over_the_limit_is_refused(client: AppClient) -> None:
    limit = 1024 * 1024
    assert post(client, body("seats", "1").ljust(limit)).status_code == 200
    check_problem(post(client, body("seats", "1").ljust(limit + 1)), 413, "body_too_large")


def test_a_chunked_body_over_the_limit_is_refused(client: AppClient) -> None:
    async def drip() -> Any:
        for _ in range(1025):
            yield b" " * 1024

    headers = {"content-type": "application/json"}
    response = client.post(PREDICT, content=drip(), headers=headers)
    assert "content-length" not in response.request.headers
    check_problem(response, 413, "body_too_large")


def test_what_a_path_says_reaches_the_log_as_plain_text(
    client: AppClient, capfd: pytest.CaptureFixture[str]
) -> None:
    key = f"zsk_0123456789ab_{'k' * 43}"
    with service_log("info"):
        client.get("/%1b[31mred%00")
        told = client.get(f"/v1/models/{key}", headers={"X-Request-ID": key})
    assert told.headers["x-request-id"] != key
    logged = capfd.readouterr().err
    assert key not in logged
    assert '"path":"/\\\\x1b[31mred\\\\x00"' in logged


def test_the_callers_request_id_is_kept_where_it_is_harmless(client: AppClient) -> None:
    kept = client.get("/livez", headers={"x-request-id": "trace-1.a_B"})
    assert kept.headers["x-request-id"] == "trace-1.a_B"
    replaced = client.get("/livez", headers={"x-request-id": "x" * 129})
    assert len(replaced.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("method", "path", "query", "got", "expected"),
    [
        ("POST", PREDICT, "with_feature=true", "with_feature", "with_features"),
        ("POST", PREDICT, "WITH_FEATURES=true", "WITH_FEATURES", "output, with_features"),
        ("POST", PREDICT, "with_features=true&a=b", "a", "output, with_features"),
        ("POST", PREDICT, "with%5Ffeature", "with_feature", "with_features"),
        ("POST", PREDICT, "%00=1", "\\x00", "output, with_features"),
        ("POST", "/v1/models/arrival_delay/versions/1:predict", "x=", "x", "output, with_features"),
        (
            "POST",
            "/v1/models/arrival_delay/labels/champion:predict",
            "x",
            "x",
            "output, with_features",
        ),
        ("POST", "/feast/get-online-features", "full_feature_names=true", "full_feature_names", ""),
        ("POST", "/feast/push", "to=online", "to", "none"),
        ("GET", "/v1/models", "modle=x", "modle", "none"),
        ("GET", "/v1/models/arrival_delay", "version=1", "version", "none"),
        ("GET", "/v1/feedback", "predictionid=1", "predictionid", "prediction_id"),
        ("GET", "/livez", "verbose", "verbose", "none"),
        ("GET", "/docs", "q=1", "q", "none"),
        ("HEAD", "/readyz", "verbose=1", "", ""),
        ("DELETE", "/v1/models/arrival_delay/labels/nope", "force=true", "force", "none"),
    ],
)
def test_an_unknown_parameter_of_the_query_is_named(
    client: AppClient, method: str, path: str, query: str, got: str, expected: str
) -> None:
    answer = client.request(method, f"{path}?{query}")
    assert answer.status_code == 422
    if method != "HEAD":
        error = answer.json()["error"]
        assert f"{got}' in the query, but expected {expected}" in error
        assert len(error) < 200


def test_the_open_inference_protocol_refuses_with_400(client: AppClient) -> None:
    for method, path in (("POST", "/v2/models/arrival_delay/infer"), ("GET", "/v2/models")):
        answer = client.request(method, f"{path}?binary=true")
        assert answer.status_code == 400
        assert answer.json() == {
            "error": "Got the unknown parameter 'binary' in the query, but expected none."
        }


def test_a_parameter_stands_in_a_query_once(client: AppClient) -> None:
    answer = client.post(f"{PREDICT}?with_features=true&with_features=false", content=b"{}")
    check_problem(answer, 422, "invalid_request")
    assert answer.json()["error"].startswith("Got the parameter with_features twice")
