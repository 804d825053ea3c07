"""Bad inference requests: 400 and an `error` that says which tensor, what came, what was due."""

import copy
import gzip
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.inference_requests import HEADER, entity_inputs, pack
from tests.support.manifests import EXAMPLE
from tests.support.settings import make_settings

INFER = "/v2/models/arrival_delay/infer"
ENTITY = {"inputs": entity_inputs([EXAMPLE, EXAMPLE])}
TENSOR: dict[str, Any] = {
    "inputs": [
        {"name": "features", "datatype": "FP32", "shape": [2, 6], "data": [0.0] * 12},
        {"name": "request", "datatype": "FP64", "shape": [2, 2], "data": [0.0] * 4},
    ]
}


def check_error(response: httpx.Response, status: int = 400) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    answer = response.json()
    assert list(answer) == ["error"]
    error = answer["error"]
    assert isinstance(error, str)
    for leak in ("pytest-of-", "sqlite", "Traceback", "pydantic", "numpy"):
        assert leak not in error
    assert len(error) < 700
    return error


def refuse(client: AppClient, request: Any, *parts: str) -> None:
    error = check_error(client.post(INFER, content=json.dumps(request).encode()))
    for part in ("Got ", "expected", *parts):
        assert part in error, error


def change(name: str, /, **members: Any) -> dict[str, Any]:
    """Return a request in which the input `name` has other members; ``...`` takes one out."""
    request = copy.deepcopy(ENTITY if name in EXAMPLE else TENSOR)
    one = next(one for one in request["inputs"] if one["name"] == name)
    one |= members
    for member in [key for key, value in one.items() if value is ...]:
        del one[member]
    return request


@pytest.mark.parametrize(
    ("name", "members", "parts"),
    [
        ("carrier", {"datatype": "INT64"}, ['the datatype "INT64" for input carrier', "BYTES"]),
        ("carrier", {"datatype": "bytes"}, ['"bytes" for input carrier']),
        ("carrier", {"datatype": "FP8"}, ['"FP8" for input carrier']),
        ("carrier", {"datatype": 1}, ["Got 1 at /inputs/0/datatype", 'the input "carrier"']),
        ("carrier", {"datatype": ...}, ["nothing at /inputs/0/datatype", 'the input "carrier"']),
        ("seats", {"datatype": "FP64"}, ['"FP64" for input seats', "INT64 or INT8"]),
        ("seats", {"datatype": "UINT64"}, ['"UINT64" for input seats']),
        ("international", {"datatype": "INT8"}, ['"INT8" for input international', "BOOL"]),
        ("features", {"datatype": "FP64"}, ['"FP64" for input features', "FP32 or FP16"]),
        ("features", {"datatype": "INT32"}, ['"INT32" for input features']),
        ("carrier", {"shape": [3]}, ["Got 2 rows of input origin", "3 as of input carrier"]),
        ("dest", {"shape": [1]}, ["Got 1 rows of input dest", "2 as of input carrier"]),
        ("carrier", {"shape": []}, ["the shape [] for input carrier", "[n] or [n, 1]"]),
        ("carrier", {"shape": [0]}, ["the shape [0] for input carrier", "from 1 to 1000"]),
        ("carrier", {"shape": [-1]}, ["the shape [-1] for input carrier"]),
        ("carrier", {"shape": [1001]}, ["the shape [1001] for input carrier"]),
        ("carrier", {"shape": [2**62]}, ["the shape [4611686018427387904] for input carrier"]),
        ("carrier", {"shape": [2**70]}, ["a very large whole number"]),
        ("carrier", {"shape": [2, 2]}, ["the shape [2, 2] for input carrier"]),
        ("carrier", {"shape": [1] * 5000}, ["Got a list of 5000 at /inputs/0/shape", "at most 8"]),
        ("carrier", {"shape": [2.0]}, ["Got 2.0 at /inputs/0/shape/0", 'the input "carrier"']),
        ("carrier", {"shape": [True]}, ["Got true at /inputs/0/shape/0"]),
        ("carrier", {"shape": ["2"]}, ['Got "2" at /inputs/0/shape/0']),
        ("carrier", {"shape": 2}, ["Got 2 at /inputs/0/shape", "a list"]),
        ("carrier", {"shape": ...}, ["Got nothing at /inputs/0/shape"]),
        ("features", {"shape": [12]}, ["the shape [12] for input features", "[n, 6]"]),
        ("features", {"shape": [4, 3]}, ["the shape [4, 3] for input features", "[n, 6]"]),
        ("features", {"shape": [-2, -6]}, ["the shape [-2, -6] for input features"]),
        ("features", {"shape": [2**32, 2**32]}, ["for input features", "[n, 6]"]),
        ("features", {"shape": [2, 6, 1]}, ["the shape [2, 6, 1] for input features"]),
        ("features", {"shape": [1, 6]}, ["Got 2 rows of input request", "1 as of input feat"]),
        ("request", {"shape": [1, 2]}, ["Got 1 rows of input request", "2 as of input features"]),
        ("carrier", {"data": ["UA"]}, ['1 elements in the data of input "carrier"', "2"]),
        ("carrier", {"data": ["UA", 1]}, ['Got 1 as element 1 of input "carrier"', "a string"]),
        ("carrier", {"data": "UA"}, ['Got "UA" at /inputs/0/data', 'the input "carrier"']),
        ("carrier", {"data": {}}, ["Got an object at /inputs/0/data"]),
        ("carrier", {"data": ...}, ["neither of data and binary_data_size for input carrier"]),
        ("carrier", {"data": None}, ["neither of data and binary_data_size for input carrier"]),
        ("seats", {"data": [1, 2**63]}, ['element 1 of input "seats"', "9223372036854775807"]),
        ("seats", {"data": [1, True]}, ['Got true as element 1 of input "seats"']),
        ("distance", {"data": ["1", 1]}, ['Got "1" as element 0 of input "distance"']),
        ("features", {"data": [1e39] + [0] * 11}, ['Got 1e+39 as element 0 of input "features"']),
        ("features", {"data": [[0] * 6, [0] * 5]}, ['Got a list of 5 in the data of input "fe']),
        ("carrier", {"data": ["UA", "XX"]}, ['Got "XX" as row 1 of input carrier', "'UA', 'AA'"]),
        ("carrier", {"data": ["UA", None]}, ["Got null as row 1 of input carrier"]),
        ("origin", {"data": ["E" * 257, "E"]}, ["row 0 of input origin", "256 characters"]),
        ("origin", {"data": ["E", "E\0R"]}, ["row 1 of input origin", "text without NUL"]),
        ("seats", {"data": [1, None]}, ["Got null as row 1 of input seats", "a whole number"]),
        ("distance", {"data": [None, 1]}, ["Got null as row 0 of input distance", "a number"]),
        (
            "scheduled_departure",
            {"data": ["2013-10-01T10:17:00Z", "2013-10-01"]},
            ['Got "2013-10-01" as row 1 of input scheduled_departure', "RFC 3339"],
        ),
        ("carrier", {"parameters": {"a": []}}, ["a list of 0 at /inputs/0/parameters/a"]),
        ("carrier", {"parameters": {"a": {}}}, ["an object at", 'the input "carrier"']),
        ("carrier", {"parameters": {"a": None}}, ["Got null at /inputs/0/parameters/a"]),
        ("carrier", {"parameters": []}, ["a list of 0 at /inputs/0/parameters", "an object"]),
        ("carrier", {"parameters": {"binary_data_size": 4}}, ["both of data and binary_data_s"]),
        (
            "carrier",
            {"data": ..., "parameters": {"binary_data_size": -1}},
            ["Got -1 as binary_data_size of input carrier", "at least 0"],
        ),
        (
            "carrier",
            {"data": ..., "parameters": {"binary_data_size": "12"}},
            ['Got "12" as parameter binary_data_size of input carrier', "a whole number"],
        ),
        (
            "carrier",
            {"data": ..., "parameters": {"binary_data_size": True}},
            ["Got true as parameter binary_data_size of input carrier"],
        ),
        (
            "carrier",
            {"data": ..., "parameters": {"binary_data_size": 12}},
            ['Got 0 bytes for input "carrier" in the body', "12"],
        ),
        (
            "carrier",
            {"data": ..., "parameters": {"shared_memory_region": "/etc/passwd"}},
            ["the parameter shared_memory_region for input carrier"],
        ),
        ("carrier", {"colour": 1}, ["Got 1 at /inputs/0/colour", 'the input "carrier"']),
        ("carrier", {"name": "Carrier"}, ['an input "Carrier"', "the entity interface (carrier"]),
        ("carrier", {"name": "origin"}, ["Got the input origin twice"]),
        ("carrier", {"name": "features"}, ["Got the inputs features and origin", "either"]),
        ("carrier", {"name": "x" * 100_000}, ["an input"]),
        ("carrier", {"name": 1}, ["Got 1 at /inputs/0/name"]),
        ("carrier", {"name": ...}, ["Got nothing at /inputs/0/name"]),
        ("features", {"name": "carrier"}, ["Got the inputs carrier and request"]),
        ("request", {"name": "features"}, ["Got the input features twice"]),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(
    client: AppClient, name: str, members: dict[str, Any], parts: list[str]
) -> None:
    refuse(client, change(name, **members), *parts)


@pytest.mark.parametrize("name", [name for name in EXAMPLE if name != "dest"])
def test_a_missing_input_is_named(client: AppClient, name: str) -> None:
    inputs = [one for one in ENTITY["inputs"] if one["name"] != name]
    refuse(client, {"inputs": inputs}, f"Got no input {name}")


@pytest.mark.parametrize(
    ("members", "parts"),
    [
        ({"inputs": []}, ["a list of 0 at /inputs"]),
        ({"inputs": {}}, ["an object at /inputs"]),
        ({"inputs": None}, ["null at /inputs"]),
        ({"inputs": [1]}, ["Got 1 at /inputs/0"]),
        ({"id": 1}, ["Got 1 at /id", "a string"]),
        ({"id": "x" * 257}, ["an id of 257 characters", "256"]),
        ({"model_name": "is_late"}, ['Got "is_late" as model_name', "arrival_delay"]),
        ({"model_version": "2"}, ['Got "2" as model_version', "1"]),
        ({"model_version": 1}, ["Got 1 at /model_version", "a string"]),
        ({"instances": []}, ["Got a list of 0 at /instances", "no field of that name"]),
        ({"parameters": {"a": [1]}}, ["a list of 1 at /parameters/a", "true or false"]),
        ({"parameters": {"binary_data_output": 1}}, ["Got 1 as parameter binary_data_output"]),
        ({"parameters": {"null_text": 1}}, ["Got 1 as parameter null_text of the request"]),
        ({"outputs": {}}, ["an object at /outputs"]),
        ({"outputs": [{"name": "scores"}]}, ['Got the output "scores"', "value"]),
        ({"outputs": [{"name": "nope"}]}, ['Got the output "nope"', "value"]),
        ({"outputs": [{"name": "value"}] * 2}, ['Got the output "value"', "it once"]),
        ({"outputs": [{"name": "value", "data": 1}]}, ["/outputs/0/data", 'output "value"']),
        (
            {"outputs": [{"name": "value", "parameters": {"binary_data": "yes"}}]},
            ['Got "yes" as parameter binary_data of output value', "true or false"],
        ),
        (
            {"outputs": [{"name": "value", "parameters": {"classification": 1}}]},
            ["the parameter classification for output value"],
        ),
    ],
)
def test_another_member_is_named(
    client: AppClient, members: dict[str, Any], parts: list[str]
) -> None:
    refuse(client, {**ENTITY, **members}, *parts)


def test_a_tensor_interface_has_its_own_outputs(client: AppClient) -> None:
    refuse(client, {**TENSOR, "outputs": [{"name": "value"}]}, 'the output "value"', "scores")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"NaN",
        b"{",
        b'{"inputs": NaN}',
        b'{"inputs": 1e999}',
        b'{"inputs": [], "inputs": []}',
        b'{"inputs": [{"name": "\\ud800"}]}',
        b'{"inputs": [{"name": "\xff"}]}',
        b"[" * 100_000,
        b'{"inputs": ' + b"[" * 150 + b"]" * 150 + b"}",
        b"\xff\xfe{\x00}\x00",
        b'{"inputs": [{"name": "features", "data": [NaN]}]}',
        json.dumps(TENSOR).replace("[0.0,", "[1e999,").encode(),
        json.dumps(TENSOR).replace('"shape"', '"name": "features", "shape"').encode(),
    ],
)
def test_what_is_no_request_is_refused(client: AppClient, content: bytes) -> None:
    assert check_error(client.post(INFER, content=content)).startswith("Got ")


def binary_request(
    sizes: tuple[Any, Any] = (48, 32), blob: bytes = bytes(80), length: Callable[[int], str] = str
) -> dict[str, Any]:
    """Return the content and the headers of the tensor request with its tensors in binary."""
    request = copy.deepcopy(TENSOR)
    for one, size in zip(request["inputs"], sizes, strict=True):
        del one["data"]
        one["parameters"] = {"binary_data_size": size}
    text = json.dumps(request).encode()
    return {"content": text + blob, "headers": {HEADER: length(len(text))}}


def test_the_binary_request_itself_is_answered(client: AppClient) -> None:
    response = client.post(INFER, **binary_request())
    assert response.json()["outputs"][0]["data"] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"blob": bytes(79)}, ['Got 31 bytes for input "request" in the body', "32"]),
        ({"blob": bytes(81)}, ["Got 81 bytes behind the JSON", "80"]),
        ({"blob": b""}, ['Got 0 bytes for input "features" in the body', "48"]),
        ({"sizes": (47, 33)}, ['Got 47 bytes for input "features"', "48"]),
        ({"sizes": (32, 48)}, ['Got 32 bytes for input "features"', "48"]),
        ({"sizes": (0, 80)}, ['Got 0 bytes for input "features"', "48"]),
        ({"sizes": (48, 31), "blob": bytes(79)}, ['Got 31 bytes for input "request"', "32"]),
        ({"sizes": (2**63, 32)}, ['Got 80 bytes for input "features" in the body']),
        ({"sizes": (2**70, 32)}, ["a very large whole number"]),
        ({"length": lambda _: "99999"}, ['Got "99999" in the header']),
        ({"length": lambda _: "-1"}, ['Got "-1" in the header']),
        ({"length": lambda _: "1e1"}, ['Got "1e1" in the header']),
        ({"length": lambda _: "9" * 4000}, ["in the header Inference-Header-Content-Length"]),
    ],
)
def test_sizes_that_do_not_fit_are_named(
    client: AppClient, options: dict[str, Any], parts: list[str]
) -> None:
    error = check_error(client.post(INFER, **binary_request(**options)))
    for part in ("expected", *parts):
        assert part in error, error


@pytest.mark.parametrize("length", [lambda _: "0", lambda n: str(n - 1), lambda n: str(n + 1)])
def test_a_header_that_cuts_the_json_elsewhere_is_refused(
    client: AppClient, length: Callable[[int], str]
) -> None:
    check_error(client.post(INFER, **binary_request(length=length)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"inputs": [%s]}' % b",".join([b"{}"] * 100_000), "at /inputs/0/name"),
        (b'{"inputs": [%s]}' % b",".join([b"1"] * 100_000), "at /inputs/0"),
        (json.dumps({**TENSOR, "outputs": [{}] * 100_000}).encode(), "at /outputs/0/name"),
        (json.dumps(change("features", shape=["2"] * 100_000)).encode(), "at /inputs/0/shape/0"),
        (json.dumps({str(n): 1 for n in range(80_000)}).encode(), "an object of 80000 names"),
        (
            json.dumps(change("features", parameters={str(n): [] for n in range(80_000)})).encode(),
            "an object of 80000 names",
        ),
    ],
)
def test_of_many_mistakes_few_are_looked_for(
    client: AppClient, content: bytes, message: str
) -> None:
    error = check_error(client.post(INFER, content=content))
    assert message in error
    more = re.search(r"The body has (\d+) more errors", error)
    assert more is None or int(more[1]) < 10


def test_binary_tensors_without_the_header_are_no_json(client: AppClient) -> None:
    check_error(client.post(INFER, content=binary_request()["content"]))


@pytest.mark.parametrize(
    ("blob", "parts"),
    [
        (pack("BYTES", ["UA"]), ["1 elements and 0 more bytes", "2 elements"]),
        (pack("BYTES", ["UA", "XX"]), ['Got "XX" as row 1 of input carrier']),
        (pack("BYTES", ["UA", "AA"])[:-1], ["Got 5 bytes for element 1"]),
        (b"\xff\xff\xff\x7fUA", ["Got 6 bytes for element 0"]),
        (pack("BYTES", ["UA", "\0"]).replace(b"\0\xff", b""), ['Got "\\u0000" as row 1']),
        (b"\x01\x00\x00\x00\xff" * 2, ["element 0", "UTF-8"]),
    ],
)
def test_binary_text_that_does_not_fit_is_named(
    client: AppClient, blob: bytes, parts: list[str]
) -> None:
    request = change("carrier", data=..., parameters={"binary_data_size": len(blob)})
    text = json.dumps(request).encode()
    response = client.post(INFER, content=text + blob, headers={HEADER: str(len(text))})
    error = check_error(response)
    for part in ("carrier", "expected", *parts):
        assert part in error, error


def test_nan_in_a_binary_entity_is_a_null(client: AppClient) -> None:
    request = change("distance", data=..., parameters={"binary_data_size": 16})
    text = json.dumps(request).encode()
    response = client.post(
        INFER,
        content=text + pack("FP64", [1.0, float("nan")]),
        headers={HEADER: str(len(text))},
    )
    assert "Got null as row 1 of input distance" in check_error(response)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/nope", 404),
        ("GET", "/v2/models/nope/ready", 404),
        ("POST", "/v2/models/nope/infer", 404),
        ("POST", "/v2/models/%00/infer", 404),
        ("POST", "/v2/models/..%2f..%2fetc/infer", 404),
        ("GET", "/v2/models/arrival_delay/versions/99", 404),
        ("GET", "/v2/models/arrival_delay/versions/champion", 404),
        ("GET", "/v2/models/arrival_delay/versions/-1/ready", 404),
        ("POST", "/v2/models/arrival_delay/versions/0/infer", 404),
        ("POST", "/v2/models/arrival_delay/versions/v1/infer", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", INFER, 405),
        ("DELETE", "/v2", 405),
        ("POST", "/v2/health/live", 405),
    ],
)
def test_other_addresses_answer_in_the_protocols_own_way(
    client: AppClient, method: str, path: str, status: int
) -> None:
    check_error(client.request(method, path), status)


@pytest.mark.parametrize("path", ["/v1/v2", "/v2x", "/v22/models", "/%2Fv2"])
def test_addresses_that_only_look_alike_have_problems(client: AppClient, path: str) -> None:
    response = client.get(path)
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-encoding": "br"},
    ],
)
def test_another_media_type_is_refused(client: AppClient, headers: dict[str, str]) -> None:
    check_error(client.post(INFER, content=b"{}", headers=headers), 415)


def test_bytes_are_no_type_of_a_native_request(client: AppClient) -> None:
    headers = {"content-type": "application/octet-stream"}
    response = client.post("/v1/models/arrival_delay:predict", content=b"{}", headers=headers)
    assert response.status_code == 415


def test_a_body_over_the_limit_is_refused(client: AppClient) -> None:
    check_error(client.post(INFER, content=b" " * (1024 * 1024 + 1)), 413)


def test_a_score_that_is_not_finite_fails_without_naming_the_cause(client: AppClient) -> None:
    request = change("request", data=[1e308, 1e308, 0, 0])
    error = check_error(client.post(INFER, json=request), 500)
    assert error == "The model gave a score that is not a finite number."


def test_a_service_that_cannot_answer_is_not_ready(tmp_path: Path, published: Path) -> None:
    with AppClient(create_app(make_settings(published, tmp_path / "none.db"))) as client:
        check_error(client.get("/v2/health/ready"), 503)
        check_error(client.get("/v2/models/arrival_delay/ready"), 503)
        check_error(client.post(INFER, json=ENTITY), 503)
        assert client.post(INFER, json=TENSOR).status_code == 200  # It looks nothing up.
        assert client.get("/v2/health/live").json() == {"live": True}


def test_a_crash_is_told_in_the_protocols_own_way(published: Path, online_store: Path) -> None:
    app = create_app(make_settings(published, online_store))

    @app.get("/v2/crash")
    async def crash() -> None:
        raise RuntimeError("secret")

    with AppClient(app) as client:
        assert "secret" not in check_error(client.get("/v2/crash"), 500)


@pytest.mark.parametrize(
    ("name", "content_type", "expected"),
    [
        ("carrier", "json", "np or pd or str or base64."),
        ("carrier", "datetime", "np or pd or str or base64."),
        ("carrier", "BASE64", "np or pd or str or base64."),
        ("carrier", "", "np or pd or str or base64."),
        ("carrier", 1, "np or pd or str or base64."),
        ("scheduled_departure", "pd_json", "np or pd or str or base64 or datetime."),
        ("distance", "base64", "np or pd."),
        ("distance", "str", "np or pd."),
        ("features", "base64", "np or pd."),
    ],
)
def test_a_content_type_that_means_something_else_is_refused(
    client: AppClient, name: str, content_type: Any, expected: str
) -> None:
    request = change(name, parameters={"content_type": content_type})
    refuse(client, request, f"content_type {json.dumps(content_type)}", f"input {name}", expected)
    for place in ("request", "output"):
        given: dict[str, Any] = copy.deepcopy(ENTITY)
        parameters = {"parameters": {"content_type": "base64"}}
        given |= parameters if place == "request" else {"outputs": [{"name": "value"} | parameters]}
        refuse(client, given, 'content_type "base64"', place, "np or pd or str.")


@pytest.mark.parametrize("element", ["UA", "VUE", "VUE=!", "/w==", "ÅÖ", "V UE="])
def test_what_is_not_the_base64_of_a_text_is_refused(client: AppClient, element: str) -> None:
    request = change("carrier", data=["VUE=", element], parameters={"content_type": "base64"})
    refuse(client, request, "element 1 of input carrier", "base64")


GZIPPED = gzip.compress(json.dumps(ENTITY).encode())


@pytest.mark.parametrize(
    ("coding", "body", "status", "said"),
    [
        ("gzip", GZIPPED[:-1], 400, "no end"),
        ("gzip", GZIPPED + b"x", 400, "bytes behind the end"),
        ("gzip", GZIPPED * 2, 400, "bytes behind the end"),
        ("gzip", json.dumps(ENTITY).encode(), 400, "not compressed by gzip"),
        ("gzip", b"", 400, "no end"),
        ("deflate", GZIPPED, 400, "not compressed by deflate"),
        ("deflate", zlib.compress(b"{}")[:-1], 400, "no end"),
        ("br", GZIPPED, 415, "a plain one or gzip or deflate"),
        ("gzip, gzip", gzip.compress(GZIPPED), 415, "a plain one or gzip or deflate"),
        ("gzip", gzip.compress(b" " * (1024 * 1024 + 1)), 413, "more than 1048576 bytes"),
        # A bomb of a thousand to one, and no more of it is inflated than a body may have.
        ("gzip", gzip.compress(b" " * 60_000_000, 1), 413, "more than 1048576 bytes"),
        ("deflate", zlib.compress(b" " * 60_000_000, 9), 413, "more than 1048576 bytes"),
    ],
)
def test_what_is_not_compressed_as_it_says_is_refused(
    client: AppClient, coding: str, body: bytes, status: int, said: str
) -> None:
    headers = {"content-encoding": coding}
    assert said in check_error(client.post(INFER, content=body, headers=headers), status)


def test_a_raw_binary_request_to_a_model_of_several_inputs_is_refused(client: AppClient) -> None:
    headers = {HEADER: "0", "content-type": "application/octet-stream"}
    error = check_error(client.post(INFER, content=bytes(8), headers=headers))
    assert error.startswith("Got a raw binary request, which names no tensor, but expected JSON")
    assert "the entity interface (carrier, origin, dest, " in error
    assert "the tensor interface (features, request)" in error


def test_an_unknown_interface_is_refused(client: AppClient) -> None:
    error = check_error(client.get("/v2/models/arrival_delay?interface=row"))
    assert error == "Got interface='row' in the query, but expected entity or tensor."
