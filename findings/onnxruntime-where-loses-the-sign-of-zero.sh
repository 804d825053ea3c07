#!/bin/sh
# onnxruntime 1.32.0: `Where` gives 0.0 for a chosen -0.0 of its first branch, and keeps that of its second.
#
# What one would guess: Where copies one of two values, bit by bit, as numpy.where does. What happens:
# the CPU kernel blanks what is not chosen in each branch with 0 and brings the two together by
# arithmetic, so that -0.0 comes out as 0.0, or does not, by the branch it stood in. A reciprocal or an
# arctangent behind it then has the other sign: a graph that is traced from numpy gives other numbers.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > where.py <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

double = TensorProto.DOUBLE
graph = helper.make_graph(
    [helper.make_node("Where", ["c", "a", "b"], ["y"]), helper.make_node("Reciprocal", ["y"], ["z"])],
    "g",
    [helper.make_tensor_value_info("c", TensorProto.BOOL, ["n"])]
    + [helper.make_tensor_value_info(name, double, ["n"]) for name in "ab"],
    [helper.make_tensor_value_info(name, double, ["n"]) for name in "yz"],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
condition, first, second = np.array([True, False]), np.array([-0.0, 5.0]), np.array([5.0, -0.0])
with np.errstate(divide="ignore"):
    print("numpy", 1 / np.where(condition, first, second))
print("onnxruntime", session.run(["z"], {"c": condition, "a": first, "b": second})[0])
PYTHON
venv/bin/python where.py | tee seen
[ "$(cat seen)" = "numpy [-inf -inf]
onnxruntime [ inf -inf]" ] || { echo "It is not so any more." >&2; exit 1; }
# Seen on 2026-11-30, Python 3.11.7:
# numpy [-inf -inf]
# onnxruntime [ inf -inf]
