"""The OpenAPI document: true, complete, and good to read."""

import json
import re
from typing import Any

import pytest

from tests.api.http.test_http_manners import DOCUMENTS
from tests.api.v1.test_predict import EXAMPLE_SCORE
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE, FIELDS

UNKNOWN = "00000000-0000-7000-8000-000000000001"
HTTP_METHODS = {"get", "post", "put", "delete"}


@pytest.fixture(scope="module")
def document(client: AppClient) -> Any:
    return client.get("/openapi.json").json()


def operations(document: Any) -> list[tuple[str, str, Any]]:
    return [
        (method, path, operation)
        for path, by_method in document["paths"].items()
        for method, operation in by_method.items()
    ]


def collect(node: Any, key: str) -> list[Any]:
    """Return everything that stands under `key`, at any depth."""
    if isinstance(node, list):
        return [found for item in node for found in collect(item, key)]
    if isinstance(node, dict):
        own = [node[key]] if key in node else []
        return own + [found for item in node.values() for found in collect(item, key)]
    return []


def test_each_model_has_its_own_fields(document: Any) -> None:
    operation = document["paths"]["/v1/models/arrival_delay:predict"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    columns = {name: [value] for name, value in EXAMPLE.items()}
    assert content["examples"]["instances"]["value"] == {"instances": [EXAMPLE]}
    assert content["examples"]["columns"]["value"] == {"inputs": columns}
    schemas = document["components"]["schemas"]
    instance = schemas["ArrivalDelayV1Instance"]
    assert list(instance["properties"]) == [*(field.name for field in FIELDS), "overrides"]
    assert instance["required"] == [field.name for field in FIELDS]
    assert instance["additionalProperties"] is False
    assert instance["properties"]["carrier"]["enum"] == ["UA", "AA", "DL"]
    assert instance["properties"]["carrier"]["description"] == "The airline's two-letter code."
    assert instance["properties"]["scheduled_departure"]["format"] == "date-time"
    assert schemas["ArrivalDelayV1Request"]["properties"]["signature_name"]["enum"] == [
        "serving_default"
    ]
    assert "field_0" not in json.dumps(document)


def test_every_example_of_a_body_works_when_sent(client: AppClient, document: Any) -> None:
    sent = []
    for method, path, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        examples = [content["example"]] if "example" in content else []
        examples += [one["value"] for one in content.get("examples", {}).values()]
        for example in examples:
            response = client.request(method, path, json=example)
            assert response.status_code == 200, response.text
            sent.append((path, next(iter(example))))
    # 4 versions, 3 champions, 1 challenger, each as rows and as columns; 3 champions of V2
    # through two interfaces; labels.
    assert len(sent) == 16 + 6 + 1
    assert ("/v1/models/arrival_delay:predict", "inputs") in sent


def test_every_document_that_is_described_is_there(client: AppClient, document: Any) -> None:
    names = {"model": "arrival_delay", "version": "1", "alias": "champion", "id": UNKNOWN}
    read = [path.format(**names) for method, path, _ in operations(document) if method == "get"]
    assert set(read) >= set(DOCUMENTS) - {"/docs", "/redoc", "/openapi.json"}
    for path in read:
        # Feast's interface is not healthy before `zeroskew apply` has published its catalog.
        # And without a rollout the champion answers alone.
        missing = {
            "/feast/health": 503,
            "/v1/models/arrival_delay/rollout": 404,
            f"/v1/predictions/{UNKNOWN}": 404,
            "/v1/feedback": 422,
        }
        assert client.get(path).status_code == missing.get(path, 200), path


def test_every_reference_resolves(document: Any) -> None:
    references = set(collect(document, "$ref"))
    kinds = document["components"]
    known = {f"#/components/{kind}/{name}" for kind, named in kinds.items() for name in named}
    assert references
    assert references <= known
    assert len({reference.split("/")[2] for reference in references}) == 2


def test_an_answer_of_classes_names_them(document: Any) -> None:
    answer = document["components"]["schemas"]["DelayClassV1Prediction"]["properties"]
    assert answer["label"]["enum"] == ["early", "late"]
    shares = answer["probabilities"]
    assert list(shares["properties"]) == shares["required"] == ["early", "late"]
    assert shares["additionalProperties"] is False


def test_every_operation_reads_like_documentation(document: Any) -> None:
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert tags["arrival_delay"] == "How late will it be?"  # the champion's, not the challenger's
    identifiers, used = [], set()
    for method, _, operation in operations(document):
        assert method in HTTP_METHODS
        assert operation["summary"]
        assert operation["description"]
        assert "Parameters\n" not in operation["description"]
        identifiers.append(operation["operationId"])
        used |= set(operation["tags"])
    assert len(set(identifiers)) == len(identifiers)
    assert used == set(tags)
    assert all(tags.values())


@pytest.mark.parametrize(
    ("model", "kind"), [("arrival_delay", "ArrivalDelay"), ("is_late", "IsLate")]
)
def test_columns_have_types_of_their_own(document: Any, model: str, kind: str) -> None:
    operation = document["paths"][f"/v1/models/{model}:predict"]["post"]
    schemas = document["components"]["schemas"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    for described, part in ((body, "Request"), (answer, "Response")):
        names = [f"{kind}V1{part}", f"{kind}V1Columns{part}"]
        if part == "Response":
            names += ["OneOutputResponse", "OneOutputColumnsResponse"]
        assert described == {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}
    columns = schemas[f"{kind}V1Columns"]
    assert columns["required"] == list(EXAMPLE)
    carrier = columns["properties"]["carrier"]
    assert carrier["items"]["enum"] == ["UA", "AA", "DL"]
    assert (carrier["minItems"], carrier["maxItems"]) == (1, 1000)
    outputs = schemas[f"{kind}V1ColumnsResponse"]["properties"]["outputs"]
    if model == "arrival_delay":
        assert outputs["items"] == {"type": "number"}
    else:
        assert outputs["required"] == ["probability", "label"]
        assert outputs["properties"]["probability"]["items"]["maximum"] == 1


def test_what_may_be_left_out_is_optional_to_every_generator(document: Any) -> None:
    schemas = document["components"]["schemas"]
    # openapi-typescript takes a member with a default for one that is always there.
    for name, schema in schemas.items():
        for member, described in schema.get("properties", {}).items():
            assert "default" not in described, (name, member)
    assert "overrides" not in schemas["ArrivalDelayV1Instance"]["required"]
    assert "status" in schemas["Health"]["required"]
    move = schemas["AliasMove"]["properties"]["allow_request_change"]
    assert move["description"].endswith("`false` if left out.")


def test_every_body_has_a_type_that_generators_can_use(document: Any) -> None:
    schemas = document["components"]["schemas"]
    for method, path, operation in operations(document):
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            if kind == "application/json":
                described = content["schema"]
                names = collect(described, "$ref")
                assert names, (method, path)
                assert described.keys() <= {"$ref", "anyOf"}
    for name, schema in schemas.items():
        # openapi-python-client reads the union alone and overlooks the members beside it.
        assert not ("properties" in schema and {"oneOf", "anyOf"} & schema.keys()), name
        # openapi-typescript takes a bare object for one that has no members.
        for node in (schema, *collect(schema, "items")):
            is_bare = node.get("type") == "object" and not {
                "properties",
                "additionalProperties",
            } & (node.keys())
            assert not is_bare, name


def test_refusals_are_described_with_a_problem_each(document: Any) -> None:
    predict = document["paths"]["/v1/models/arrival_delay:predict"]["post"]["responses"]
    read = document["paths"]["/v1/models/{model}"]["get"]["responses"]
    expected = {"200", "400", "403", "404", "405", "408", "410", "413", "415", "422"}
    assert predict.keys() == expected | {"429", "500", "503"}
    assert read.keys() == {"200", "304", "403", "404", "405", "422", "429", "503"}
    problem = document["components"]["schemas"]["Problem"]
    inference = document["components"]["schemas"]["InferenceError"]
    for response in document["components"]["responses"].values():
        is_native = "application/problem+json" in response["content"]
        schema = problem if is_native else inference
        for content in response["content"].values():
            given = content["example"].keys()
            assert set(schema["required"]) <= given <= schema["properties"].keys()


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (400, {}, b'{"instances": [}'),
        (415, {"content-type": "text/plain"}, b"{}"),
        (422, {}, b'{"instances": [{"carrier": 1}]}'),
    ],
)
def test_described_problems_have_the_members_of_real_ones(
    client: AppClient, document: Any, status: int, headers: dict[str, str], body: bytes
) -> None:
    path = "/v1/models/arrival_delay:predict"
    real = client.post(
        path, content=body, headers={"content-type": "application/json"} | headers
    ).json()
    name = document["paths"][path]["post"]["responses"][str(status)]["$ref"].split("/")[-1]
    content = document["components"]["responses"][name]["content"]
    example = content["application/problem+json"]["example"]
    assert example.keys() == real.keys()
    for member in ("type", "title", "status", "code"):
        assert example[member] == real[member]


CANNOT_FAIL = {"/", "/livez", "/metrics", "/v2", "/v2/health/live", "/v2/models/stats"}
"""Addresses behind which nothing is that could be away."""


def test_a_route_says_what_follows_from_what_it_names_and_needs(document: Any) -> None:
    for method, path, operation in operations(document):
        told = set(operation["responses"])
        if "{" in path:
            assert "404" in told, (method, path)
        assert ("503" in told) == (path not in CANNOT_FAIL), (method, path)
        names = {one["name"].lower() for one in operation.get("parameters", ())}
        assert ("412" in told) == ("if-match" in names), (method, path)


def test_each_operation_tells_what_it_may_refuse_with(document: Any) -> None:
    for method, path, operation in operations(document):
        told = operation["responses"].keys()
        is_v2 = path.startswith("/v2")
        of_queries = "400" if is_v2 else "422"
        expected = {"403", "405", of_queries}  # a host, a method and a query that are not known
        if "requestBody" in operation:
            expected |= {"400", "408", "413", "415", "429", "503"}
        assert expected <= told, (method, path)
        assert not (is_v2 and "422" in told), (method, path)
        assert "401" not in told, "This service asks for no keys."


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "code"),
    [
        (
            "POST",
            "/v1/models/{model}:predict",
            {"origin": "http://a.org"},
            b"{}",
            403,
            "cross_site_request",
        ),
        ("GET", "/livez", {"host": "a.org"}, b"", 403, "unknown_host"),
        ("GET", "/metrics?wrong=1", {}, b"", 422, "invalid_request"),
        ("GET", "/v2?wrong=1", {}, b"", 400, None),
        ("GET", "/v2/models/stats?wrong=1", {}, b"", 400, None),
        (
            "POST",
            "/feast/push",
            {"content-type": "text/plain"},
            b"{}",
            415,
            "unsupported_media_type",
        ),
        (
            "PUT",
            "/v1/models/{model}/rollout",
            {"content-type": "application/json"},
            b"{",
            400,
            "malformed_json",
        ),
        (
            "POST",
            "/v1/predictions/{id}:replay",
            {"sec-fetch-site": "cross-site"},
            b"",
            403,
            "cross_site_request",
        ),
    ],
)
def test_a_refusal_comes_as_it_is_described(
    client: AppClient,
    document: Any,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    status: int,
    code: str | None,
) -> None:
    address = path.format(model="arrival_delay", id=UNKNOWN)
    real = client.request(method, address, headers=headers, content=body)
    assert real.status_code == status, real.text
    told = document["paths"][path.partition("?")[0]][method.lower()]["responses"][str(status)]
    described = document["components"]["responses"][told["$ref"].split("/")[-1]]
    assert real.headers["content-type"] in described["content"]
    if code is None:
        assert real.json().keys() == {"error"}
    else:
        assert real.json()["code"] == code
        assert f"`{code}`" in described["description"]


def test_no_two_types_share_a_name(client: AppClient, document: Any) -> None:
    version = client.get("/v1/models/arrival_delay/versions/1").json()
    described = document["components"]["schemas"]["RequestInput"]
    assert set(version["manifest"]["plan"]["request_inputs"][0]) == set(described["properties"])
    assert not [name for name in document["components"]["schemas"] if "__" in name]


def test_a_score_is_described_as_it_comes(client: AppClient, document: Any) -> None:
    path = "/v1/models/arrival_delay:predict"
    response = client.post(path, json={"instances": [EXAMPLE]}).json()
    assert response["predictions"] == [{"value": EXAMPLE_SCORE}]
    schema = document["components"]["schemas"]["ArrivalDelayV1Response"]
    assert set(schema["required"]) <= response.keys() <= schema["properties"].keys()


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_pages_name_no_other_host(client: AppClient, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    # The icon's name space is an identifier; nothing is loaded from it.
    assert "://" not in page.text.replace("http://www.w3.org/2000/svg", "")
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "://" not in policy
    for address in re.findall(r'(?:src|href)="([^"]*)"', page.text):
        if not address.startswith("data:"):
            assert client.get(f"/{address}").status_code == 200
