"""docs/errors.md lists every code there is, with the status that it comes with."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from api.http.error_responses import _HTTP_CODES, _STATUS
from tests.support.app_client import AppClient
from zeroskew.contract.errors import access as access_errors
from zeroskew.contract.errors import service as errors

PAGE = Path(__file__).parents[3] / "docs" / "errors.md"
ROW = re.compile(r"^\| `(?P<code>\w+)` \| (?P<status>\w+) \|", re.MULTILINE)
INTERNAL = {
    access_errors.NoKeysError,
    errors.ArtifactError,
    errors.ArtifactMissingError,
    errors.RegistrySchemaError,
}


def kinds(root: type[errors.ServiceError] = errors.ServiceError) -> Iterator[type[Any]]:
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


def listed() -> dict[str, str]:
    return {row["code"]: row["status"] for row in ROW.finditer(PAGE.read_text())}


def test_every_code_of_the_service_is_listed_with_its_status() -> None:
    codes = listed()
    for kind in kinds():
        if kind in INTERNAL:
            assert f"| `{kind.code}` |" in PAGE.read_text()
            continue
        status = next(_STATUS[base] for base in kind.__mro__ if base in _STATUS)
        assert codes[kind.code] == str(int(status)), kind


def test_every_code_of_http_is_listed() -> None:
    codes = listed()
    for status, code in _HTTP_CODES.items():
        assert codes[code] == str(status)
    assert codes["http_error"] == "any"


def test_every_code_in_the_documentation_is_listed_with_that_status(client: AppClient) -> None:
    responses = client.get("/openapi.json").json()["components"]["responses"]
    contents = {name: response["content"] for name, response in responses.items()}
    examples = {
        name: content["application/problem+json"]["example"]
        for name, content in contents.items()
        if "application/problem+json" in content  # `/v2` has bodies of its own, without a code
    }
    assert len(examples) >= 10
    for name, example in examples.items():
        assert example["status"] == HTTPStatus[name]
        assert listed()[example["code"]] == str(example["status"])


def test_no_code_is_listed_twice() -> None:
    codes = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert len(codes) == len(set(codes))
