"""The arithmetic of a pandas function, as a graph that is proven to compute the same.

The function is run once on a frame whose cells note what is done with them. What comes out is then
compared with the function itself, run by Feast on numbers: a function that does anything but
calculate with each row alone is refused.
"""

from __future__ import annotations

import dis
import warnings
from collections.abc import Mapping, Sequence
from types import CodeType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import pandas as pd
import pyarrow as pa

from zeroskew.contract.number_bounds import EXACT_FLOAT, INT32
from zeroskew.features.on_demand.symbols import Symbol, SymbolError
from zeroskew.features.onnx_graph import GraphBuilder, open_session
from zeroskew.features.request_function import RequestFunctionError
from zeroskew.features.trace_request_time import OPSET

__all__ = ["trace_pandas_view"]

_CALCULATING: Final = frozenset({"math", "numpy", "pandas"})
_READING: Final = frozenset({"open", "eval", "exec", "__import__", "read_csv", "read_parquet"})
_SEED: Final = 20130101
_N_ROWS: Final = 4000
_IR_VERSION: Final = 10
_SPECIAL: Final = (0.0, -0.0, 0.5, -1.5, 1e-300, 1e300, np.inf, -np.inf)
_FLOATS: Final = ("DOUBLE", "FLOAT")


def trace_pandas_view(view: Any, inputs: Mapping[str, str]) -> tuple[bytes, tuple[str, ...]]:
    """Return the graph of an on-demand view's function, and which of its inputs it reads.

    Parameters
    ----------
    view
        Feast's ``OnDemandFeatureView`` in pandas mode.
    inputs
        Name and Feast type of each request field and feature that is a number.

    Returns
    -------
    content, read : bytes, tuple of str
        An ONNX model with a float64 input ``(n,)`` for each of ``read`` and a float64 output
        ``(n,)``, ``output_<name>``, for each of the view's features. NaN is null.

    Raises
    ------
    RequestFunctionError
        If the function does not just calculate with the numbers of one row.
    """
    _check_imports(view.feature_transformation.udf.__code__)
    graph = GraphBuilder()
    outputs = _run_on_symbols(view, graph, list(inputs))
    for name, symbol in outputs.items():
        graph.add("Identity", symbol.name, output=f"output_{name}")
    touched = {name for node in graph.nodes for name in node.input}
    read = {name: kind for name, kind in inputs.items() if name in touched}
    made = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            view.name,
            [_value(name) for name in read],
            [_value(f"output_{name}") for name in outputs],
            graph.initializers,
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    try:
        onnx.checker.check_model(made, full_check=True)
    except onnx.checker.ValidationError as error:
        raise RequestFunctionError("its names are not those of a graph") from error
    content: bytes = made.SerializeToString()
    for has_nulls in (False, True):
        _verify(view, content, read, list(outputs), has_nulls=has_nulls)
    return content, tuple(read)


def _check_imports(code: CodeType) -> None:
    """Refuse a function whose result may come from elsewhere: the graph would keep one for ever.

    Raises
    ------
    RequestFunctionError
        If it imports anything but what calculates, or opens a file.
    """
    for step in dis.get_instructions(code):
        name = str(step.argval)
        if step.opname == "IMPORT_NAME" and name.partition(".")[0] not in _CALCULATING:
            raise RequestFunctionError(f"it imports {name!r}")
        if step.opname.startswith("LOAD_") and name in _READING:
            raise RequestFunctionError(f"it calls {name!r}")
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            _check_imports(inner)


def _run_on_symbols(view: Any, graph: GraphBuilder, inputs: Sequence[str]) -> dict[str, Symbol]:
    cells = {name: [Symbol(graph, name)] for name in inputs}
    cells |= {full: cells[short] for short, full in _full_names(view).items() if short in cells}
    frame = pd.DataFrame(cells, dtype=object)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = view.feature_transformation.udf(frame)
        found = {feature.name: made[feature.name].iloc[0] for feature in view.features}
    except SymbolError as error:
        raise RequestFunctionError(f"its function does what no graph can: {error}") from error
    except Exception as error:  # A function of somebody else's may raise anything.
        raise RequestFunctionError(
            f"its function does more than calculate ({type(error).__name__})"
        ) from error
    if len(made) != 1 or not all(isinstance(one, Symbol) for one in found.values()):
        raise RequestFunctionError("its function does not calculate a number for each row")
    return found


def _full_names(view: Any) -> dict[str, str]:
    return {
        feature.name: f"{projection.name}__{feature.name}"
        for projection in view.source_feature_view_projections.values()
        for feature in projection.features
    }


def _value(name: str) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, ["n"])


def _verify(
    view: Any,
    content: bytes,
    inputs: Mapping[str, str],
    outputs: Sequence[str],
    *,
    has_nulls: bool,
) -> None:
    """Compare with what Feast computes of the same rows when it is asked online."""
    rows = {name: _draw(kind, place) for place, (name, kind) in enumerate(inputs.items())}
    if has_nulls:
        for place, column in enumerate(rows.values()):
            column[place :: len(rows) + 2] = [None] * len(column[place :: len(rows) + 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = view.transform_arrow(pa.Table.from_pydict(rows)).to_pydict()
    fed = {name: np.array(column, np.float64) for name, column in rows.items()}
    results = open_session(content).run([f"output_{name}" for name in outputs], fed)
    for name, result in zip(outputs, results, strict=True):
        right = np.array(expected.get(name, [None]), np.float64)
        if right.shape != result.shape or not _same_bits(right, result).all():
            raise RequestFunctionError(f"its function computes another {name!r} than its graph")


def _draw(kind: str, seed: int) -> list[Any]:
    """Return values of a type as Feast's online stores give them."""
    rng = np.random.default_rng(_SEED + seed)
    exponents = rng.uniform(0, 53, _N_ROWS)
    signs = rng.choice([-1.0, 1.0], _N_ROWS)
    if kind == "BOOL":
        return list(map(bool, rng.integers(0, 2, _N_ROWS)))
    if kind not in _FLOATS:
        largest = INT32.stop - 1 if kind == "INT32" else EXACT_FLOAT
        wholes = np.minimum(np.floor(2.0**exponents), largest) * signs
        return [int(value) for value in wholes]
    values = rng.normal(0, 1, _N_ROWS) * 2.0 ** (exponents - 26)
    values[: len(_SPECIAL) ** 2] = np.tile(rng.permutation(_SPECIAL), len(_SPECIAL))
    if kind == "FLOAT":
        with np.errstate(over="ignore"):
            values = values.astype(np.float32).astype(np.float64)
    return [float(value) for value in values]


def _same_bits(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = (first.view(np.int64) == second.view(np.int64)) | (
        np.isnan(first) & np.isnan(second)
    )
    return same
