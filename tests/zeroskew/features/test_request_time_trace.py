from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.support.request_functions import new_york_clock, pass_through
from zeroskew.features.onnx_graph import open_session
from zeroskew.features.request_function import RequestFunction, RequestFunctionError
from zeroskew.features.trace_request_time import trace_request_function, verification_rows


def function_of(body: Callable[[Any], Any]) -> RequestFunction:
    return RequestFunction("suspect", ("seconds",), ("result",), body)


def namespace_of(array: Any) -> Any:
    return array.__array_namespace__()


def branch_on_values(seconds: Any) -> dict[str, Any]:
    return {"result": seconds if namespace_of(seconds).any(seconds > 0) else -seconds}


def branch_on_each(seconds: Any) -> dict[str, Any]:
    return {"result": seconds if seconds > 0 else -seconds}


def draw_at_random(seconds: Any) -> dict[str, Any]:
    return {"result": seconds * 0.0 + np.random.default_rng().random()}


def subtract_mean(seconds: Any) -> dict[str, Any]:
    return {"result": seconds - namespace_of(seconds).mean(seconds)}


def compare(seconds: Any) -> dict[str, Any]:
    return {"result": seconds > 0}


def take_first(seconds: Any) -> dict[str, Any]:
    return {"result": seconds[:1]}


def rename(seconds: Any) -> dict[str, Any]:
    return {"outcome": seconds}


def call_numpy(seconds: Any) -> dict[str, Any]:
    return {"result": np.floor(seconds)}


def divide_down(seconds: Any) -> dict[str, Any]:
    return {"result": seconds // 3600.0}


def look_for_largest(seconds: Any) -> dict[str, Any]:
    return {"result": seconds * 0.0 + namespace_of(seconds).max(seconds)}


def return_array(seconds: Any) -> Any:
    return seconds


def test_trace_equals_numpy_to_the_bit() -> None:
    function = RequestFunction("clock", ("departure",), ("hour", "weekday"), new_york_clock)
    session = open_session(trace_request_function(function).SerializeToString())
    rng = np.random.default_rng(7)
    around = np.array([1362898800.0, 1383458400.0, 0.0, 86400.0 * 365])
    departures = np.concatenate(
        [
            rng.uniform(-1e9, 5e9, 10_000),
            np.add.outer(around, [-1.0, -1e-6, 0.0, 1e-6, 1.0]).ravel(),
            [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, -1e300, 5e-324],
        ]
    )
    expected = function.evaluate({"departure": departures})
    hour, weekday = session.run(["hour", "weekday"], {"departure": departures})
    np.testing.assert_array_equal(hour, expected["hour"])
    np.testing.assert_array_equal(weekday, expected["weekday"])
    assert (
        np.signbit(hour[~np.isnan(hour)]).tolist()
        == np.signbit(expected["hour"][~np.isnan(hour)]).tolist()
    )


def test_functions_of_several_inputs_are_traced() -> None:
    function = RequestFunction(
        "passed",
        ("departure", "seats", "fare", "is_direct"),
        ("seconds", "seats_out", "fare_out", "is_direct_out"),
        pass_through,
    )
    model = trace_request_function(function)
    assert [value.name for value in model.graph.input] == list(function.input_names)
    assert [value.name for value in model.graph.output] == list(function.output_names)
    assert trace_request_function(function).SerializeToString() == model.SerializeToString()


def test_a_selection_is_traced_without_what_it_leaves_out() -> None:
    clock = RequestFunction("clock", ("departure",), ("hour", "weekday"), new_york_clock)
    whole, weekday = (
        trace_request_function(function) for function in (clock, clock.select(["weekday"]))
    )
    assert [value.name for value in weekday.graph.output] == ["weekday"]
    assert len(weekday.graph.node) < len(whole.graph.node)
    (day,) = open_session(weekday.SerializeToString()).run(None, {"departure": np.array([0.0])})
    # 1970-01-01 was a Thursday; at midnight UTC it was still Wednesday in New York.
    assert day.tolist() == [2.0]


def test_a_selection_of_a_function_that_returns_other_names_is_refused_by_name() -> None:
    renamed = RequestFunction("clock", ("departure",), ("hour", "minute"), new_york_clock)
    with pytest.raises(RequestFunctionError, match=r"^Got \['hour', 'weekday'\] from .* 'clock'"):
        trace_request_function(renamed.select(["hour"]))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (branch_on_values, "while tracing request-time function 'suspect'"),
        (branch_on_each, "from request-time function 'suspect'.*without branches"),
        (draw_at_random, "'suspect' from a second call"),
        (subtract_mean, "'suspect' from the row alone"),
        (compare, "Got bool of shape .* for output 'result' of request-time function 'suspect'"),
        (take_first, r"Got float64 of shape \(1,\) .* function 'suspect'"),
        (rename, r"Got \['outcome'\] from request-time function 'suspect'"),
        (call_numpy, "while tracing request-time function 'suspect'"),
        (divide_down, "'suspect' from its ONNX trace at {'seconds': inf}"),
        (look_for_largest, "subgraphs=True from tracing request-time function 'suspect'"),
        (return_array, "Got ndarray from request-time function 'suspect'"),
    ],
)
def test_functions_that_break_the_contract_are_refused(
    body: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(RequestFunctionError, match=message):
        trace_request_function(function_of(body))


def test_constant_outputs_of_another_namespace_are_refused() -> None:
    def constant(seconds: Any) -> dict[str, Any]:
        return {"result": seconds if isinstance(seconds, np.ndarray) else np.zeros(3)}

    with pytest.raises(RequestFunctionError, match="traced namespace"):
        trace_request_function(function_of(constant))


def test_verification_rows_hold_what_they_promise() -> None:
    rows = verification_rows(3)
    assert rows.shape[1] == 3
    assert len(rows) > 100_000
    assert np.isnan(rows).any()
    assert np.isposinf(rows).any()
    assert np.isneginf(rows).any()
    for instant in (1362898800.0, 1383458400.0):
        assert {instant - 1.0, instant - 1e-6, instant, instant + 1e-6} <= set(rows[:, 0])
    assert rows.tobytes() == verification_rows(3).tobytes()
