"""Refuses what a model file must not contain, before the runtime opens it.

The service does not install the onnx package, so this reads the few protobuf fields it
needs; their numbers are those of ``onnx.proto`` (https://github.com/onnx/onnx).
"""

from __future__ import annotations

from typing import Final

from zeroskew.contract.errors.service import ModelRefusedError
from zeroskew.model.graph_operators import ALLOWED_OPERATORS, TREE_OPERATORS
from zeroskew.online.values.protobuf_fields import Message, read_fields

__all__ = ["check_graph_contents"]

_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_SPARSE_TENSOR = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_INTS = 1, 3, 8
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE_TENSORS = (5, 10), (6, 11), (22, 23)
_TENSOR_EXTERNAL: Final = (13, 14)
_LEAVES: Final = frozenset({"leaf_targetids", "class_ids", "target_ids"})


def check_graph_contents(content: bytes) -> None:
    """Check that a model file is self-contained and only calculates.

    Parameters
    ----------
    content
        The ONNX file's bytes.

    Raises
    ------
    ModelRefusedError
        If the file is damaged, keeps tensors in other files, has functions, subgraphs (``If``,
        ``Loop``, ``Scan``) or operators that are not in `ALLOWED_OPERATORS`, or has trees with
        more outputs than leaves.
    """
    try:
        for field in read_fields(memoryview(content)):
            if field.id == _MODEL_FUNCTIONS:
                raise ModelRefusedError("Got a model file with functions, but expected none.")
            if field.id == _MODEL_GRAPH:
                _check_graph(field.content)
    except (IndexError, UnicodeDecodeError) as error:
        raise ModelRefusedError("Got a damaged model file, but expected ONNX.") from error


def _check_graph(graph: Message) -> None:
    for field in read_fields(graph):
        if field.id == _GRAPH_NODE:
            _check_node(field.content)
        elif field.id == _GRAPH_TENSOR:
            _check_tensor(field.content)
        elif field.id == _GRAPH_SPARSE_TENSOR:
            _check_sparse_tensor(field.content)


def _check_node(node: Message) -> None:
    operator = domain = ""
    sizes: dict[str, int] = {}
    for field in read_fields(node):
        if field.id == _NODE_OPERATOR:
            operator = str(field.content, "utf-8")
        elif field.id == _NODE_DOMAIN:
            domain = str(field.content, "utf-8")
        elif field.id == _NODE_ATTRIBUTE:
            _check_attribute(field.content, sizes)
    if operator not in ALLOWED_OPERATORS.get(domain, ()):
        raise ModelRefusedError(
            f"Got operator {operator!r} of domain {domain!r}, but expected one of ai.onnx or "
            "ai.onnx.ml that only calculates."
        )
    if operator in TREE_OPERATORS:
        _check_trees(sizes)


def _check_attribute(attribute: Message, sizes: dict[str, int]) -> None:
    """Check one attribute, and note its value, or how many it has, where that is integers."""
    name = ""
    number = count = 0
    for field in read_fields(attribute):
        if field.id in _ATTRIBUTE_GRAPHS:
            raise ModelRefusedError("Got a graph with a subgraph, but expected none.")
        if field.id in _ATTRIBUTE_TENSORS:
            _check_tensor(field.content)
        elif field.id in _ATTRIBUTE_SPARSE_TENSORS:
            _check_sparse_tensor(field.content)
        elif field.id == _ATTRIBUTE_NAME:
            name = str(field.content, "utf-8")
        elif field.id == _ATTRIBUTE_INT:
            number = field.number
        elif field.id == _ATTRIBUTE_INTS:
            # Packed numbers take at least a byte each.
            count += field.repeats if not field.content else len(field.content)
    sizes[name] = number or count


def _check_trees(sizes: dict[str, int]) -> None:
    """Check how many outputs the trees have.

    For a number without bounds the runtime takes memory without bounds. It checks the rest
    itself: the nodes when it opens the graph, the features' numbers when it first runs it.
    """
    n_targets = sizes.get("n_targets", 1)
    n_leaves = max((sizes.get(name, 0) for name in _LEAVES), default=0)
    if n_targets > max(n_leaves, 1):
        raise ModelRefusedError(
            f"Got trees with {n_targets} outputs, but expected at most one for each of "
            f"{n_leaves} leaves."
        )


def _check_sparse_tensor(tensor: Message) -> None:
    for field in read_fields(tensor):
        _check_tensor(field.content)


def _check_tensor(tensor: Message) -> None:
    for field in read_fields(tensor):
        if field.id in _TENSOR_EXTERNAL:
            raise ModelRefusedError("Got a tensor in another file, but expected it inside.")
