"""A model's graph in two: what is computed of a request, and what scores the matrix.

The file stays one, and complete. Two sessions of its parts do what one session of the whole does,
node by node; but what is computed of a request can then be computed in another way, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zeroskew.model.graph.graph_reader import Graph, Node, read_declared, write_input, write_model

__all__ = ["COMPUTED", "FEATURES", "MATRIX", "REQUEST", "SCORES", "SplitGraph", "split_graph"]

FEATURES: Final = "features"
REQUEST: Final = "request"
COMPUTED: Final = "request_features"
MATRIX: Final = "matrix"
SCORES: Final = "scores"


@dataclass(frozen=True, eq=False)
class SplitGraph:
    """The two parts of a graph.

    Attributes
    ----------
    graph
        The whole.
    features
        Type and shape of its input ``features``, as they are declared.
    request_nodes
        Those that compute ``request_features`` from ``request``, in order.
    request_part
        A model of them.
    scoring_part
        A model of the others: from ``matrix``, float32 ``(n, n_features)``, to ``scores``.
    """

    graph: Graph
    features: tuple[str, list[int | str | None]]
    request_nodes: tuple[Node, ...]
    request_part: bytes
    scoring_part: bytes


def split_graph(graph: Graph, width: int) -> SplitGraph | None:
    """Cut a graph where the computed features join the stored ones.

    Parameters
    ----------
    graph
        The whole.
    width
        How many features the model has, the computed ones among them.

    Returns
    -------
    SplitGraph or None
        ``None`` where the graph is not put together as the exporter does it.

    Raises
    ------
    UnreadableGraphError
        If its input is no tensor.
    """
    if graph.inputs.keys() != {FEATURES, REQUEST} or graph.outputs.keys() != {SCORES, COMPUTED}:
        return None
    place = next((i for i, node in enumerate(graph.nodes) if node.outputs == (MATRIX,)), None)
    if place is None or not _joins_columns(graph.nodes[place]):
        return None
    before, behind = graph.nodes[:place], graph.nodes[place + 1 :]
    if not (_is_closed(graph, before, REQUEST) and _is_closed(graph, behind, MATRIX)):
        return None
    return SplitGraph(
        graph,
        read_declared(graph.inputs[FEATURES]),
        before,
        write_model(graph, before, given=graph.inputs[REQUEST], result=graph.outputs[COMPUTED]),
        write_model(graph, behind, given=write_input(MATRIX, width), result=graph.outputs[SCORES]),
    )


def _joins_columns(node: Node) -> bool:
    operation = (node.operator, node.inputs, node.attributes.get("axis"))
    return operation == ("Concat", (FEATURES, COMPUTED), 1)


def _is_closed(graph: Graph, nodes: tuple[Node, ...], given: str) -> bool:
    """Tell whether nodes need nothing but `given`, constants, and one another."""
    known = {given, "", *graph.tensors}
    for node in nodes:
        if not known.issuperset(node.inputs):
            return False
        known.update(node.outputs)
    return True
