"""Request-time functions traced into ONNX, and the proof that the trace computes the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import ndonnx as ndx
import numpy as np
import numpy.typing as npt
import onnx
import onnx.version_converter
import onnxruntime as ort

from zeroskew.features.onnx_graph import open_session
from zeroskew.features.request_function import FloatArray, RequestFunction, RequestFunctionError
from zeroskew.features.tidy_graph import tidy_graph

__all__ = ["OPSET", "trace_request_function", "verification_rows"]

OPSET: Final = 21
"""The newest ai.onnx opset that ndonnx emits; every exported model has it."""

_SEED: Final = 20130101
_ROWS_CHECKED_ALONE: Final = 64
_ORDINARY_ROWS: Final = 60_000
_HOUR_SEC: Final = 3600.0
_FIRST_YEARS_HOURS: Final = np.arange(np.datetime64("2012-01-01", "h"), np.datetime64("2015", "h"))
_EPOCH_SPAN_HOURS: Final = (-20 * 8766, 80 * 8766)
_SPECIAL_VALUES: Final = (
    *(np.nan, np.inf, -np.inf, 0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -1.5),
    *(5e-324, -5e-324, 2.2e-308, 1e-35, -1e-35, 1e-9, 1e9, -1e9, 2.0**31, 2.0**53, -(2.0**53)),
    *(2.0**63, 1e19, -1e19, 3.4e38, -3.4e38, 3.5e38, 1e300, -1e300, 1.7976931348623157e308),
)


def trace_request_function(function: RequestFunction, *, quick: bool = False) -> onnx.ModelProto:
    """Trace a request-time function into ONNX and verify the trace.

    Parameters
    ----------
    function : RequestFunction
        The function to trace.
    quick : bool, optional
        Verify on the special values alone, which is a first look and no proof.

    Returns
    -------
    onnx.ModelProto
        A model with the function's inputs and outputs, float64 ``(n,)`` each. On
        `verification_rows` its outputs equal those of numpy to the bit, signs of zero
        included and NaN payloads aside, for all rows at once and for rows alone.

    Raises
    ------
    RequestFunctionError
        If the function branches on values, uses what ndonnx cannot trace, returns other
        than float64 ``(n,)``, differs between two calls or between rows together and rows
        alone, or if the trace computes other bits.
    """
    n_inputs = len(function.input_names)
    rows = _special_rows(n_inputs) if quick else verification_rows(n_inputs)
    inputs = dict(zip(function.input_names, rows.T.copy(), strict=True))
    expected = function.evaluate(inputs)
    _check_equal(function, inputs, expected, function.evaluate(inputs), "a second call")
    model = _trace(function)
    session = open_session(model.SerializeToString())
    _check_equal(function, inputs, expected, _run(function, session, inputs), "its ONNX trace")
    _check_rows_alone(function, session, inputs, expected)
    return model


def verification_rows(n_inputs: int) -> FloatArray:
    """Return the rows on which traces are verified, float64 ``(n_rows, n_inputs)``.

    NaN, infinities, zeros, halves, denormal and huge numbers in all pairs of neighbouring
    columns; small whole numbers; numbers of all magnitudes; and, as seconds since the epoch,
    every hour of 2012-2014 and 20,000 hours from 1950 to 2049, each with the microsecond and
    the second before and after, so that every change of day or of daylight-saving time in
    those years has rows on both sides. Then rows of ordinary measures, each cell of a kind
    drawn for itself or for its whole row: degrees of a full turn, whole and half ones and
    multiples of 45 too; latitudes; speeds, counts and amounts up to 100 and 10,000; shares;
    radians; instants of 2012-2014; a missing value now and then. Always the same rows.
    """
    rng = np.random.default_rng(_SEED)
    sampled = rng.integers(*_EPOCH_SPAN_HOURS, 20_000) * _HOUR_SEC
    hours = np.concatenate([_FIRST_YEARS_HOURS.astype(np.int64) * _HOUR_SEC, sampled])
    around = (hours[:, None] + np.array([-1.0, -1e-6, 0.0, 1e-6, 1.0])).ravel()
    magnitudes = rng.choice([-1.0, 1.0], 5_000) * 10.0 ** rng.uniform(-320, 308, 5_000)
    base = np.concatenate([np.arange(-5_000.0, 5_001.0), magnitudes, around])
    columns = [base] + [rng.permutation(base) for _ in range(n_inputs - 1)]
    return np.concatenate(
        [_special_rows(n_inputs), np.column_stack(columns), _ordinary_rows(rng, n_inputs)]
    )


def _special_rows(n_inputs: int) -> FloatArray:
    pairs = np.array([(a, b) for a in _SPECIAL_VALUES for b in _SPECIAL_VALUES])
    return pairs[:, np.arange(n_inputs) % 2]


def _ordinary_rows(rng: np.random.Generator, n_inputs: int) -> FloatArray:
    shape = (_ORDINARY_ROWS, n_inputs)
    kinds = np.stack(
        [
            rng.uniform(-360.0, 360.0, shape),
            np.round(rng.uniform(-180.0, 180.0, shape), 6),
            rng.integers(-720, 721, shape) / 2.0,
            rng.integers(-8, 9, shape) * 45.0,
            np.round(rng.uniform(-90.0, 90.0, shape), 7),
            rng.uniform(0.0, 100.0, shape).astype(np.float32),
            rng.integers(0, 10_000, shape),
            rng.uniform(-1.0, 1.0, shape),
            rng.uniform(-7.0, 7.0, shape),
            rng.integers(1_325_376_000, 1_420_070_400, shape),
            np.full(shape, np.nan),
        ]
    )
    weights = np.array([3.0, 3, 2, 2, 3, 2, 1, 1, 1, 1, 0.2])
    chances = weights / weights.sum()
    of_cell = rng.choice(len(kinds), shape, p=chances)
    of_row = rng.choice(len(kinds), (_ORDINARY_ROWS, 1), p=chances)
    kind = np.where(rng.random((_ORDINARY_ROWS, 1)) < 0.5, of_row, of_cell)
    return np.take_along_axis(kinds, kind[None], axis=0)[0]


def _trace(function: RequestFunction) -> onnx.ModelProto:
    arguments = {
        name: ndx.argument(shape=("n",), dtype=ndx.float64) for name in function.input_names
    }
    try:
        outputs = function.function(**arguments)
    except RequestFunctionError:
        raise
    except Exception as error:
        raise RequestFunctionError(
            f"Got {type(error).__name__} ({error}) while tracing request-time function "
            f"{function.name!r}, but expected Array API operations without branches on values."
        ) from error
    function.check_output_names(outputs)
    for name in function.output_names:
        if not isinstance(outputs[name], ndx.Array) or outputs[name].dtype != ndx.float64:
            got = getattr(outputs[name], "dtype", type(outputs[name]).__name__)
            raise RequestFunctionError(
                f"Got {got} for output {name!r} while tracing request-time function "
                f"{function.name!r}, but expected a float64 array of the traced namespace."
            )
    model = ndx.build(arguments, {name: outputs[name] for name in function.output_names})
    _check_operators(function, model)
    # ndonnx declares the lowest opset that has all operators; joined graphs need one.
    return tidy_graph(onnx.version_converter.convert_version(model, OPSET))


def _check_operators(function: RequestFunction, model: onnx.ModelProto) -> None:
    imports = [(opset.domain, opset.version) for opset in model.opset_import]
    has_subgraph = any(
        attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
        for node in model.graph.node
        for attribute in node.attribute
    )
    is_plain = all(domain == "" and version <= OPSET for domain, version in imports)
    if not is_plain or model.functions or has_subgraph:
        raise RequestFunctionError(
            f"Got opsets {imports}, {len(model.functions)} functions and subgraphs={has_subgraph} "
            f"from tracing request-time function {function.name!r}, "
            f"but expected plain operators of ai.onnx {OPSET} or lower."
        )


def _run(
    function: RequestFunction, session: ort.InferenceSession, inputs: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    outputs = session.run(list(function.output_names), dict(inputs))
    return dict(zip(function.output_names, outputs, strict=True))


def _check_rows_alone(
    function: RequestFunction,
    session: ort.InferenceSession,
    inputs: Mapping[str, FloatArray],
    expected: Mapping[str, FloatArray],
) -> None:
    """Catch what looks at other rows (a mean, a sort) and would score a batch differently."""
    n_rows = len(next(iter(inputs.values())))
    for row in np.linspace(0, n_rows - 1, _ROWS_CHECKED_ALONE).astype(int):
        alone = {name: values[row : row + 1] for name, values in inputs.items()}
        of_batch = {name: values[row : row + 1] for name, values in expected.items()}
        _check_equal(function, alone, of_batch, function.evaluate(alone), "the row alone")
        traced = _run(function, session, alone)
        _check_equal(function, alone, of_batch, traced, "its ONNX trace of the row alone")


def _check_equal(
    function: RequestFunction,
    inputs: Mapping[str, FloatArray],
    expected: Mapping[str, FloatArray],
    got: Mapping[str, FloatArray],
    of_what: str,
) -> None:
    for name in function.output_names:
        same = _have_equal_bits(got[name], expected[name])
        if not same.all():
            row = int(np.argmin(same))
            values = {key: float(column[row]) for key, column in inputs.items()}
            raise RequestFunctionError(
                f"Got {float(got[name][row])!r} for output {name!r} of request-time function "
                f"{function.name!r} from {of_what} at {values}, "
                f"but expected numpy's {float(expected[name][row])!r} "
                f"({np.count_nonzero(~same)} of {len(same)} rows differ)."
            )


def _have_equal_bits(first: FloatArray, second: FloatArray) -> npt.NDArray[np.bool_]:
    equal = first.view(np.int64) == second.view(np.int64)
    both_nan = np.isnan(first) & np.isnan(second)
    result: npt.NDArray[np.bool_] = equal | both_nan
    return result
