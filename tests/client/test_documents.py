"""Whatever JSON a service answers, it is a result, a problem or told to be neither."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zeroskew_client import ProblemError, UnexpectedAnswerError
from zeroskew_client.answers import Answer, read_answer
from zeroskew_client.documents import (
    read_health,
    read_model,
    read_models,
    read_predictions,
    read_version,
)

FEATURE = {"value": 1, "status": "present", "age_seconds": 2, "view": "v"}
VERSION = {
    "model": "m",
    "version": 1,
    "manifest_sha256": "",
    "model_sha256": "",
    "created_at": "2013-10-01T12:00:00",
    "created_by": "",
    "reason": "",
}
MODEL = {"name": "m", "aliases": {"champion": 1}, "versions": [VERSION]}
FIELD = {"pointer": "", "got": "", "expected": "", "message": ""}
BATCH = {
    "id": "",
    "model": "m",
    "version": 1,
    "as_of": "2013-10-01T12:00:00Z",
    "predictions": [{"value": 1}],
    "degraded": "x",
    "overridden": [["v:f"]],
    "features": [{"v:f": FEATURE}],
}
WHOLE: dict[str, tuple[Any, Any]] = {
    "value": (BATCH, lambda document, _: read_predictions(document, "", 1)),
    "probability": (
        BATCH | {"predictions": [{"probability": 1, "label": True}]},
        lambda document, _: read_predictions(document, "", 1),
    ),
    "classes": (
        BATCH | {"predictions": [{"probabilities": {"a": 1}, "label": "a"}]},
        lambda document, _: read_predictions(document, "", 1),
    ),
    "models": (
        {"models": ["will_return"], "details": [MODEL]},
        lambda document, _: read_models(document),
    ),
    "model": (MODEL, lambda document, _: read_model(document)),
    "version": (
        {"registered": VERSION, "aliases": ["champion"], "manifest": {}},
        lambda document, _: read_version(document),
    ),
    "health": ({"status": "ok"}, lambda document, _: read_health(document)),
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


def places(document: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value in a document."""
    if not isinstance(document, dict | list):
        return [way]
    items = document.items() if isinstance(document, dict) else enumerate(document)
    return [way, *(place for key, value in items for place in places(value, (*way, key)))]


def replaced(document: Any, way: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of a document with another value at one place."""
    if not way:
        return value
    copy: Any = json.loads(json.dumps(document))
    inner = copy
    for key in way[:-1]:
        inner = inner[key]
    inner[way[-1]] = value
    return copy


def json_answer(document: Any, status: int = 200) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(document).encode())


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_document_is_read_and_may_say_more(name: str) -> None:
    document, read = WHOLE[name]
    first = read_answer(json_answer(document), read, "")
    assert read_answer(json_answer(document | {"new": [1]}), read, "") == first


@given(st.sampled_from(sorted(WHOLE)), st.data(), json_values)
def test_a_value_of_another_type_is_read_or_told(
    name: str, data: st.DataObject, value: Any
) -> None:
    document, read = WHOLE[name]
    damaged = replaced(document, data.draw(st.sampled_from(places(document))), value)
    with suppress(UnexpectedAnswerError):
        read_answer(json_answer(damaged), read, "")


PROBLEM = {"code": "c", "detail": "d", "errors": [FIELD]}


@given(st.sampled_from(places(PROBLEM)), json_values)
@example(("errors",), 5)
@example(("errors",), [5])
def test_a_damaged_problem_is_one_still(way: tuple[Any, ...], value: Any) -> None:
    answer = json_answer(replaced(PROBLEM, way, value), 422)
    with pytest.raises(ProblemError) as caught:
        read_answer(answer, lambda document, _: document, "")
    assert caught.value.status == 422


@given(st.binary(), st.sampled_from(["application/json", "a/b+json; x", "text/html", ""]))
def test_any_bytes_are_json_or_told(content: bytes, media_type: str) -> None:
    answer = Answer(200, {"content-type": media_type}, content)
    with suppress(UnexpectedAnswerError):
        assert read_answer(answer, lambda document, _: document, "") == json.loads(content)
