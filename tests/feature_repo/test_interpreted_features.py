"""The interpreter gives what the graph of the example's functions gives, to the bit."""

from __future__ import annotations

import numpy as np
from request_features import departure_time, flight_path, plane_rest

from tests.support.linear_family import LinearEstimator
from training.export.export_onnx import export_onnx
from zeroskew.features.request_time import request_function_of
from zeroskew.features.trace_request_time import verification_rows
from zeroskew.model.graph.graph_reader import read_graph
from zeroskew.model.graph.graph_split import split_graph
from zeroskew.model.graph.request_part import RequestPart
from zeroskew.model.model_session import open_session

N_ROWS = 6_000
FUNCTIONS = [request_function_of(view) for view in (departure_time, flight_path, plane_rest)]
INPUTS = list(dict.fromkeys(name for function in FUNCTIONS for name in function.input_names))


def test_the_examples_functions_are_interpreted_to_the_bit() -> None:
    ones = (1.0,) * (1 + sum(len(function.output_names) for function in FUNCTIONS))
    model = export_onnx(
        LinearEstimator(0.0, ones, ones, ones),
        n_columns=1,
        request_inputs=INPUTS,
        request_functions=FUNCTIONS,
    )
    split = split_graph(read_graph(model.SerializeToString()), len(ones))
    assert split is not None
    session = open_session(split.request_part)
    part = RequestPart(split, session, len(INPUTS))
    part.prepare(np.zeros((1, len(INPUTS))))
    assert part.is_interpreted
    rows = verification_rows(len(INPUTS))
    rows = rows[np.linspace(0, len(rows) - 1, N_ROWS).astype(int)]
    (expected,) = session.run(None, {"request": rows})
    got = np.concatenate([part.compute(row[None]) for row in rows])
    np.testing.assert_array_equal(got, expected)
    assert (np.signbit(got) == np.signbit(expected))[~np.isnan(got)].all()
