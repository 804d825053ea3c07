"""One ONNX graph in the runtime: checked against its plan, then run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from zeroskew.contract.errors.service import ModelRefusedError
from zeroskew.model.graph.graph_reader import UnreadableGraphError, read_graph
from zeroskew.model.graph.graph_split import (
    COMPUTED,
    FEATURES,
    MATRIX,
    REQUEST,
    SCORES,
    SplitGraph,
    split_graph,
)
from zeroskew.model.graph.request_part import RequestPart
from zeroskew.model.graph_contents import check_graph_contents

__all__ = ["INLINE_BUDGET_SEC", "ModelSession", "open_session"]

INLINE_BUDGET_SEC: Final = 1e-3
"""Work up to this long runs in the event loop; handing it to a thread would cost more."""

_PROBE_ROWS: Final = 64
_Scores: TypeAlias = NDArray[np.float64]
_Declared: TypeAlias = tuple[str, list[int | str | None]]
"""Type and shape."""


class ModelSession:
    """A loaded graph with the inputs ``features`` and, for some models, ``request``.

    A graph that computes features of the request is opened in two parts, so that those of few
    rows need not be computed by the runtime.

    Parameters
    ----------
    content
        The ONNX file's bytes. The graph runs on one thread that does not spin.
    n_features, n_request_inputs, n_request_features
        The widths that the plan says; the graph has no ``request`` input where
        `n_request_inputs` is 0, and no output ``request_features`` where that is 0.

    Raises
    ------
    ModelRefusedError
        If the file has contents that `check_graph_contents` refuses, the runtime cannot load
        the graph, or its inputs or its outputs are not those.
    """

    def __init__(
        self, content: bytes, *, n_features: int, n_request_inputs: int, n_request_features: int
    ) -> None:
        check_graph_contents(content)
        split = _split(content, n_features + n_request_features) if n_request_features else None
        self._request_part: RequestPart | None = None
        if split is None:
            self._session = _open_checked(content)
            inputs = _describe(self._session.get_inputs())
            outputs = _describe(self._session.get_outputs())
        else:
            self._session = _open_checked(split.scoring_part)
            computing = _open_checked(split.request_part)
            inputs = {FEATURES: split.features} | _describe(computing.get_inputs())
            outputs = _describe(computing.get_outputs()) | _describe(self._session.get_outputs())
        self._has_request = n_request_inputs > 0
        expected = {FEATURES: ("tensor(float)", n_features)}
        if self._has_request:
            expected[REQUEST] = ("tensor(double)", n_request_inputs)
        _check_inputs(inputs, expected)
        _check_outputs(outputs, n_request_features)
        if split is not None:
            self._request_part = RequestPart(split, computing, n_request_inputs)
        self.inline_rows = self._measure_inline_rows(n_features, n_request_inputs)
        """How many rows fit into `INLINE_BUDGET_SEC`, measured when the graph was loaded."""

    def prepare(self, request: NDArray[np.float64]) -> None:
        """Make ready what is quicker for few rows, and use it if it proves to give the same.

        A session answers before, too; this takes some hundredths of a second, and may run in
        another thread meanwhile.

        Parameters
        ----------
        request
            float64 ``(n_rows, n_request_inputs)``: rows for the proof.
        """
        if self._request_part is not None:
            self._request_part.prepare(request)

    def run(self, features: NDArray[np.float32], request: NDArray[np.float64]) -> _Scores:
        """Score rows.

        Parameters
        ----------
        features
            float32 ``(n_rows, n_features)``; NaN is a missing value.
        request
            float64 ``(n_rows, n_request_inputs)``; not read where the graph does not take it.

        Returns
        -------
        ndarray
            float64 ``(n_rows,)`` or ``(n_rows, n_classes)``. The runtime gives up the
            interpreter lock meanwhile, so this may be called in a thread.
        """
        scores: _Scores = self._session.run([SCORES], self._feed(features, request))[0]
        return scores

    def compute_request_features(
        self, features: NDArray[np.float32], request: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return what the request-time functions computed, float32 ``(n_rows, n)``.

        The plan must have some; arguments are as for `run`.
        """
        if self._request_part is not None:
            return self._request_part.compute(request)
        computed: NDArray[np.float32] = self._session.run(
            [COMPUTED], self._feed(features, request)
        )[0]
        return computed

    def _feed(
        self, features: NDArray[np.float32], request: NDArray[np.float64]
    ) -> dict[str, NDArray[Any]]:
        if self._request_part is not None:
            computed = self._request_part.compute(request)
            return {MATRIX: np.concatenate((features, computed), axis=1)}
        if self._has_request:
            return {FEATURES: features, REQUEST: request}
        return {FEATURES: features}

    def _measure_inline_rows(self, n_features: int, n_request_inputs: int) -> int:
        features = np.zeros((_PROBE_ROWS, n_features), np.float32)
        request = np.zeros((_PROBE_ROWS, n_request_inputs), np.float64)
        elapsed_sec = []
        try:
            for _ in range(3):
                begin = time.perf_counter()
                self.run(features, request)
                elapsed_sec.append(time.perf_counter() - begin)
        except Exception as error:
            if "requests feature" in str(error):  # The runtime checks every node's, whatever runs.
                reason = "Got trees that read a feature beyond the width of their input."
            else:
                reason = "Got a graph that fails when it runs."
            raise ModelRefusedError(reason) from error
        return max(1, int(INLINE_BUDGET_SEC / min(elapsed_sec) * _PROBE_ROWS))


def _split(content: bytes, width: int) -> SplitGraph | None:
    """Cut the graph in two, if it is one that can be read and is put together that way."""
    try:
        return split_graph(read_graph(content), width)
    except UnreadableGraphError:
        return None


def _describe(nodes: Iterable[Any]) -> dict[str, _Declared]:
    return {node.name: (node.type, node.shape) for node in nodes}


def _check_inputs(inputs: Mapping[str, _Declared], expected: Mapping[str, tuple[str, int]]) -> None:
    if inputs.keys() != expected.keys():
        raise ModelRefusedError(
            f"Got a graph with the inputs {sorted(inputs)}, but expected {sorted(expected)}."
        )
    for name, (dtype, width) in expected.items():
        got, shape = inputs[name]
        fits = len(shape) == 2 and not isinstance(shape[0], int)
        if got != dtype or not fits or shape[1] != width:
            raise ModelRefusedError(
                f"Got graph input {name} as {got} {shape}, but expected {dtype} [n_rows, {width}]."
            )


def _check_outputs(outputs: Mapping[str, _Declared], n_request_features: int) -> None:
    expected = {SCORES: "tensor(double)"}
    if n_request_features:
        expected[COMPUTED] = "tensor(float)"
    types = {name: dtype for name, (dtype, _) in outputs.items()}
    if types != expected:
        raise ModelRefusedError(f"Got a graph with the outputs {types}, but expected {expected}.")
    if n_request_features and outputs[COMPUTED][1][1:] != [n_request_features]:
        raise ModelRefusedError(
            f"Got graph output request_features of shape {outputs[COMPUTED][1]}, "
            f"but expected [n_rows, {n_request_features}]."
        )


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """Open a graph on one thread that does not spin.

    Raises
    ------
    ModelRefusedError
        If it has contents that `check_graph_contents` refuses, or the runtime cannot load it.
    """
    check_graph_contents(content)
    return _open_checked(content)


def _open_checked(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            content, sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # The runtime's exceptions have no common root but this.
        raise ModelRefusedError("Got a model file that the ONNX runtime cannot load.") from error
