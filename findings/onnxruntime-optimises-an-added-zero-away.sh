#!/bin/sh
# onnxruntime 1.32.0: `x + 0.0` in the middle of a graph is optimised away; at its end it stands.
#
# What one would guess: an optimiser leaves x + 0.0 alone, because it is no identity: it makes 0.0 of
# -0.0, and is the usual way to be rid of the sign of a zero (x - 0.0 would be the identity). What
# happens: at the default level an Add whose one input is a constant zero is taken for an identity and
# removed, unless it makes an output of the graph. So a graph gives another sign of infinity one node
# later than the file says, and gives the file's own with ORT_DISABLE_ALL.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > added.py <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

double = TensorProto.DOUBLE
negated = [helper.make_node("Neg", ["x"], ["n"]), helper.make_node("Add", ["n", "zero"], ["s"])]
graph = helper.make_graph(
    [*negated, helper.make_node("Reciprocal", ["s"], ["y"])],
    "g",
    [helper.make_tensor_value_info("x", double, ["n"])],
    [helper.make_tensor_value_info("y", double, ["n"])],
    [numpy_helper.from_array(np.array(0.0), "zero")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
x = np.array([0.0, 2.0])
for level in ("ORT_ENABLE_ALL", "ORT_DISABLE_ALL"):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    print(level, session.run(["y"], {"x": x})[0])
with np.errstate(divide="ignore"):
    print("numpy", 1 / (-x + 0.0))
PYTHON
venv/bin/python added.py | tee seen
[ "$(cat seen)" = "ORT_ENABLE_ALL [-inf -0.5]
ORT_DISABLE_ALL [ inf -0.5]
numpy [ inf -0.5]" ] || { echo "It is not so any more." >&2; exit 1; }
# Seen on 2026-11-30, Python 3.11.7:
# ORT_ENABLE_ALL [-inf -0.5]
# ORT_DISABLE_ALL [ inf -0.5]
# numpy [ inf -0.5]
