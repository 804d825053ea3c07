"""LightGBM's trees as one ONNX ``TreeEnsemble`` (ai.onnx.ml opset 5), in double throughout.

How LightGBM decides a split (``Tree::NumericalDecision`` and ``Tree::CategoricalDecision`` in
its ``tree.h``, behind a predictor that reads ``|x| <= 1e-35`` as 0), and what stands for it
here, where 1e-35 means the float32 next to it:

- a number goes left when ``x <= threshold``: ``BRANCH_LEQ`` on doubles (`Tree.decision_threshold`);
- NaN goes the default way (missing type NaN), the default way as zero does (missing type
  zero), or as 0 does (missing type none): ``nodes_missing_value_tracks_true``;
- with missing type zero, ``|x| <= 1e-35`` goes the default way: such values
  become NaN before the trees;
- a category goes left when its code, cut off towards zero, is in the split's set, so that
  2.7 is category 2 and -0.5 is category 0; NaN, negative, infinite and unknown codes go
  right: ``BRANCH_MEMBER`` on the truncated value.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

import numpy as np
import onnx

from training.families.lightgbm.model_text import (
    ZERO_THRESHOLD,
    IntArray,
    MissingType,
    TextModel,
    Tree,
)
from zeroskew.features.onnx_graph import GraphBuilder

__all__ = ["add_tree_ensemble"]

_BRANCH_LEQ: Final = 0
_BRANCH_MEMBER: Final = 6
_SUM: Final = 1
_NO_POST_TRANSFORM: Final = 0


class _Form(IntEnum):
    """In which form a split reads its feature."""

    NUMBER = 0
    NUMBER_OR_ZERO_MISSING = 1
    CODE = 2


def add_tree_ensemble(graph: GraphBuilder, model: TextModel, matrix: str) -> str:
    """Append what computes the sum of a model's trees.

    Parameters
    ----------
    graph : GraphBuilder
        The graph to append to.
    model : TextModel
        The trees.
    matrix : str
        Name of a float64 value ``(n_rows, n_features)``; NaN is missing, infinities are
        numbers like others.

    Returns
    -------
    str
        Name of the raw scores, float64 ``(n_rows, n_outputs)``, summed in LightGBM's order.
    """
    forms = [_forms(tree) for tree in model.trees]
    columns = _assign_columns(model, forms)
    prepared = _add_preparation(graph, columns, model.n_features, matrix)
    attributes = _ensemble_attributes(model, forms, columns)
    return graph.add("TreeEnsemble", prepared, domain="ai.onnx.ml", **attributes)


def _forms(tree: Tree) -> IntArray:
    zero_is_missing = tree.missing_type == MissingType.ZERO
    number = np.where(zero_is_missing, _Form.NUMBER_OR_ZERO_MISSING, _Form.NUMBER)
    return np.where(tree.is_categorical, _Form.CODE, number)


def _assign_columns(model: TextModel, forms: Sequence[IntArray]) -> dict[tuple[int, int], int]:
    """Give each feature in each form a column: numbers their own, others behind the matrix.

    More than one form of a feature comes of training on from a model with other settings.
    """
    pairs = {
        pair
        for tree, tree_forms in zip(model.trees, forms, strict=True)
        for pair in zip(tree.split_feature.tolist(), tree_forms.tolist(), strict=True)
    }
    columns: dict[tuple[int, int], int] = {}
    taken: set[int] = set()
    appended = model.n_features
    # Codes behind numbers: what cuts them off then touches no other column.
    for feature, form in sorted(pairs, key=lambda pair: (pair[1] == _Form.CODE, pair)):
        if feature in taken or form == _Form.CODE:
            columns[feature, form] = appended
            appended += 1
        else:
            columns[feature, form] = feature
            taken.add(feature)
    return columns


def _add_preparation(
    graph: GraphBuilder, columns: dict[tuple[int, int], int], n_features: int, matrix: str
) -> str:
    behind = sorted((c, pair) for pair, c in columns.items() if c >= n_features)
    numbers = [feature for _, (feature, form) in behind if form != _Form.CODE]
    codes = [feature for _, (feature, form) in behind if form == _Form.CODE]
    given = matrix
    if numbers:
        copies = graph.add("Gather", given, graph.constant(numbers, np.int64), axis=1)
        matrix = graph.add("Concat", given, copies, axis=1)
    width = n_features + len(numbers)
    zero_missing = {c for (_, form), c in columns.items() if form == _Form.NUMBER_OR_ZERO_MISSING}
    if zero_missing:
        mask = [column in zero_missing for column in range(width)]
        size = graph.add("Abs", matrix)
        tiny = graph.add("LessOrEqual", size, graph.constant(ZERO_THRESHOLD, np.float64))
        missing = graph.add("And", tiny, graph.constant([mask], np.bool_))
        matrix = graph.add("Where", missing, graph.constant(np.nan, np.float64), matrix)
    if codes:
        chosen = graph.add("Gather", given, graph.constant(codes, np.int64), axis=1)
        fraction = graph.add("Mod", chosen, graph.constant(1.0, np.float64), fmod=1)
        matrix = graph.add("Concat", matrix, graph.add("Sub", chosen, fraction), axis=1)
    return matrix


def _ensemble_attributes(
    model: TextModel, forms: Sequence[IntArray], columns: dict[tuple[int, int], int]
) -> dict[str, Any]:
    parts: dict[str, list[Any]] = {}
    n_nodes = n_leaves = 0
    roots, members = [], []
    for index, (tree, tree_forms) in enumerate(zip(model.trees, forms, strict=True)):
        nodes = _tree_nodes(tree, tree_forms, columns, n_nodes, n_leaves)
        nodes["leaf_targetids"] = np.full(len(tree.leaf_value), index % model.n_outputs)
        for name, values in nodes.items():
            parts.setdefault(name, []).append(values)
        for split in sorted(tree.categories):
            members.extend([*tree.categories[split].tolist(), np.nan])
        roots.append(n_nodes)
        n_nodes += max(tree.n_splits, 1)
        n_leaves += len(tree.leaf_value)
    attributes: dict[str, Any] = {name: np.concatenate(values) for name, values in parts.items()}
    for name, dtype in [
        ("nodes_splits", np.float64),
        ("nodes_modes", np.uint8),
        ("leaf_weights", np.float64),
    ]:
        attributes[name] = onnx.numpy_helper.from_array(attributes[name].astype(dtype), name)
    if members:
        attributes["membership_values"] = onnx.numpy_helper.from_array(
            np.array(members, np.float64), "membership_values"
        )
    return attributes | {
        "tree_roots": roots,
        "n_targets": model.n_outputs,
        "aggregate_function": _SUM,
        "post_transform": _NO_POST_TRANSFORM,
    }


def _tree_nodes(
    tree: Tree,
    forms: IntArray,
    columns: dict[tuple[int, int], int],
    first_node: int,
    first_leaf: int,
) -> dict[str, Any]:
    """Return one tree's part of the attributes; leaves keep LightGBM's order."""
    if not tree.n_splits:
        return _constant_tree_nodes(tree, first_leaf)
    keys = zip(tree.split_feature.tolist(), forms.tolist(), strict=True)
    nan_goes_left = np.where(
        tree.missing_type == MissingType.NONE, tree.threshold >= 0, tree.default_left
    )
    nodes: dict[str, Any] = {
        "nodes_featureids": np.array([columns[key] for key in keys]),
        "nodes_splits": np.where(tree.is_categorical, 0.0, tree.decision_threshold),
        "nodes_modes": np.where(tree.is_categorical, _BRANCH_MEMBER, _BRANCH_LEQ),
        "nodes_missing_value_tracks_true": (nan_goes_left & ~tree.is_categorical).astype(int),
        "leaf_weights": tree.leaf_value,
    }
    for side, child in [("true", tree.left_child), ("false", tree.right_child)]:
        is_leaf = child < 0
        nodes[f"nodes_{side}nodeids"] = np.where(
            is_leaf, first_leaf - 1 - child, first_node + child
        )
        nodes[f"nodes_{side}leafs"] = is_leaf.astype(int)
    return nodes


def _constant_tree_nodes(tree: Tree, leaf: int) -> dict[str, Any]:
    """Return the node of a tree without splits: both ways lead to its only leaf."""
    return {
        "nodes_featureids": [0],
        "nodes_splits": [0.0],
        "nodes_modes": [_BRANCH_LEQ],
        "nodes_missing_value_tracks_true": [0],
        "nodes_truenodeids": [leaf],
        "nodes_trueleafs": [1],
        "nodes_falsenodeids": [leaf],
        "nodes_falseleafs": [1],
        "leaf_weights": tree.leaf_value,
    }
