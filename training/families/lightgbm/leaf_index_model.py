"""An exported graph turned into one that tells the leaf that a row reaches in each tree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx

from training.export.graph_parts import replace_graph

__all__ = ["leaf_index_model"]


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
    return replace_graph(proto, [*before, replaced], proto.graph.input, [leaves])


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
