"""How instances are spread over requests, and how the requests are addressed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroskew_client import FieldProblem, InvalidInputError, ProblemError
from zeroskew_client.calls import Call, cut, get_model, get_version, predict, predict_in_chunks

DEFAULTS: dict[str, Any] = {"version": None, "alias": None, "with_features": False}


def instances_of(call: Call[Any]) -> list[Any]:
    assert call.content is not None
    return list(json.loads(call.content)["instances"])


@given(st.integers(1, 300), st.integers(1, 400))
def test_chunks_hold_every_instance_once_in_order(n_instances: int, chunk_size: int) -> None:
    rows = [{"seats": number} for number in range(n_instances)]
    calls = predict_in_chunks("m", iter(rows), chunk_size=chunk_size, **DEFAULTS)
    sizes = [len(instances_of(call)) for call in calls]
    assert [row for call in calls for row in instances_of(call)] == rows
    assert len(calls) == -(-n_instances // chunk_size)
    assert set(sizes[:-1]) <= {chunk_size}
    assert 1 <= sizes[-1] <= chunk_size
    for call in calls:
        assert call.instances is not None
        assert instances_of(call) == rows[call.instances.start : call.instances.stop]


@given(st.integers(1, 200), st.integers(1, 50), st.data())
def test_pointers_are_moved_to_the_callers_places(
    n_instances: int, chunk_size: int, data: st.DataObject
) -> None:
    wrong = data.draw(st.integers(0, n_instances - 1))
    rest = data.draw(st.sampled_from(["", "/dest", "/overrides/route:flights", "/instances/0"]))
    part = next(part for part in cut(n_instances, chunk_size) if wrong in part)
    pointer = f"/instances/{wrong - part.start}{rest}"
    message = f"Got null at {pointer}, but expected a string."
    field = FieldProblem(pointer, "null", "a string", message)
    error = ProblemError(422, "invalid_instances", f"{message} And more.", None, (field,))
    error.place(part)
    moved = f"/instances/{wrong}{rest}"
    assert error.errors[0].pointer == moved
    assert error.detail == f"Got null at {moved}, but expected a string. And more."
    assert error.instances == part


@pytest.mark.parametrize(
    "pointer", ["", "/instances", "/instances/", "/instances/x", "/instances/01", "/a/instances/1"]
)
def test_a_pointer_to_no_instance_stays(pointer: str) -> None:
    field = FieldProblem(pointer, "null", "something", "As the service says it.")
    assert field.moved(500) is field


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, "/v1/models/m:predict"),
        ({"version": 3}, "/v1/models/m/versions/3:predict"),
        ({"alias": "champion"}, "/v1/models/m/labels/champion:predict"),
    ],
)
def test_a_version_or_an_alias_is_in_the_address(options: dict[str, Any], path: str) -> None:
    assert predict("m", [{}], **(DEFAULTS | options)).path == path
    calls = predict_in_chunks("m", [{}] * 3, chunk_size=2, **(DEFAULTS | options))
    assert [call.path for call in calls] == [path, path]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a:b", "a?b", "a#b", "a%2Fb", "é", None, 3])
def test_a_name_that_would_change_the_address_is_refused(name: Any) -> None:
    for make in (
        lambda: predict(name, [{}], **DEFAULTS),
        lambda: predict("m", [{}], **(DEFAULTS | {"alias": name if name is not None else ""})),
        lambda: get_model(name),
        lambda: get_version(name, 1),
    ):
        with pytest.raises(InvalidInputError, match="but expected a name"):
            make()


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1"])
def test_a_version_that_is_no_number_from_one_on_is_refused(version: Any) -> None:
    with pytest.raises(InvalidInputError, match="but expected a whole number from 1 on"):
        predict("m", [{}], **(DEFAULTS | {"version": version}))
    with pytest.raises(InvalidInputError, match="but expected a whole number from 1 on"):
        get_version("m", version)


def test_a_version_and_an_alias_are_refused_together() -> None:
    with pytest.raises(InvalidInputError, match="a version and an alias"):
        predict("m", [{}], version=1, alias="champion", with_features=False)


def test_no_instances_and_chunks_of_none_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="no instances"):
        predict_in_chunks("m", [], chunk_size=5, **DEFAULTS)
    with pytest.raises(InvalidInputError, match="chunk_size=0"):
        predict_in_chunks("m", [{}], chunk_size=0, **DEFAULTS)
