"""Exported graphs taken apart: the leaf that a row reaches, and the trees without the request."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import onnx

__all__ = ["cut_before_trees", "leaf_index_model"]


def leaf_index_model(model: bytes) -> bytes:
    """Turn an exported model into one that tells the leaf reached in each tree.

    All nodes up to the ``TreeEnsemble`` and all its node arrays stay as they are. Only what a
    leaf adds changes: its place among its tree's leaves, to an output of its tree's own.

    Parameters
    ----------
    model : bytes
        A model of `export_onnx`.

    Returns
    -------
    bytes
        A model with the same inputs and the output ``leaves``, float64 ``(n, n_trees)``.

    Raises
    ------
    ValueError
        If the graph does not hold exactly one ``TreeEnsemble``, or its node arrays are not
        trees.
    """
    proto = onnx.load_from_string(model)
    ensembles = [node for node in proto.graph.node if node.op_type == "TreeEnsemble"]
    if len(ensembles) != 1:
        raise ValueError(f"Got {len(ensembles)} TreeEnsemble nodes, but expected exactly one.")
    ensemble = ensembles[0]
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in ensemble.attribute}
    tree_of_leaf, place_of_leaf = _leaf_places(attributes)
    attributes |= {
        "n_targets": len(attributes["tree_roots"]),
        "leaf_targetids": tree_of_leaf,
        "leaf_weights": onnx.numpy_helper.from_array(place_of_leaf.astype(np.float64)),
    }
    replaced = onnx.helper.make_node(
        "TreeEnsemble", ensemble.input, ["leaves"], domain=ensemble.domain, **attributes
    )
    before = list(proto.graph.node)[: list(proto.graph.node).index(ensemble)]
    leaves = onnx.helper.make_tensor_value_info("leaves", onnx.TensorProto.DOUBLE, None)
    return _with_graph(proto, [*before, replaced], proto.graph.input, [leaves])


def cut_before_trees(model: bytes, matrix: str) -> bytes:
    """Drop what computes the value `matrix`, and make that the only input and scores the output.

    Returns `model` as it is where no node computes such a value.
    """
    proto = onnx.load_from_string(model)
    nodes = list(proto.graph.node)
    places = [place for place, node in enumerate(nodes) if matrix in node.output]
    if not places:
        return model
    matrix_input = onnx.helper.make_tensor_value_info(
        matrix, onnx.TensorProto.FLOAT, ["n", "n_features"]
    )
    scores = [output for output in proto.graph.output if output.name == "scores"]
    return _with_graph(proto, nodes[places[0] + 1 :], [matrix_input], scores)


def _leaf_places(
    attributes: dict[str, list[int]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Walk the node arrays and return each leaf's tree and place among its tree's leaves."""
    sides = [
        list(zip(attributes[f"nodes_{side}nodeids"], attributes[f"nodes_{side}leafs"], strict=True))
        for side in ("true", "false")
    ]
    n_leaves = len(attributes["leaf_targetids"])
    tree_of_leaf = np.full(n_leaves, -1, np.int64)
    place_of_leaf = np.full(n_leaves, -1, np.int64)
    for tree, root in enumerate(attributes["tree_roots"]):
        leaves: set[int] = set()
        waiting, seen = [root], {root}
        while waiting:
            node = waiting.pop()
            for child, is_leaf in (sides[0][node], sides[1][node]):
                if is_leaf:
                    leaves.add(child)
                elif child in seen:
                    raise ValueError(f"Got node {child} twice in tree {tree}, but expected a tree.")
                else:
                    seen.add(child)
                    waiting.append(child)
        ordered = sorted(leaves)
        tree_of_leaf[ordered] = tree
        place_of_leaf[ordered] = np.arange(len(ordered))
    return tree_of_leaf, place_of_leaf


def _with_graph(
    proto: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    inputs: Iterable[onnx.ValueInfoProto],
    outputs: Iterable[onnx.ValueInfoProto],
) -> bytes:
    used = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in proto.graph.initializer if tensor.name in used]
    graph = onnx.helper.make_graph(nodes, proto.graph.name, inputs, outputs, constants)
    changed = onnx.helper.make_model(
        graph, opset_imports=proto.opset_import, ir_version=proto.ir_version
    )
    serialized: bytes = changed.SerializeToString()
    return serialized
