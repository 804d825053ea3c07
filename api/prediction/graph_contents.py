"""Refuses what a model file must not contain, before the runtime opens it.

The service does not install the onnx package, so this reads the few protobuf fields it
needs; their numbers are those of ``onnx.proto`` (https://github.com/onnx/onnx).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from api.errors import ModelRefusedError

__all__ = ["check_graph_contents"]

_Message: TypeAlias = memoryview

_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
_RANDOM: Final = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_SPARSE_TENSOR = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE_TENSORS = (5, 10), (6, 11), (22, 23)
_TENSOR_EXTERNAL: Final = (13, 14)
_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_NUMBERS: Final = re.compile(rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f])+", re.DOTALL)
"""A run of an attribute's floats (field 7) and ints (field 8). Trees have tens of thousands, and
numbers cannot hold what is refused."""


def check_graph_contents(content: bytes) -> None:
    """Check that a model file is self-contained and only calculates.

    Parameters
    ----------
    content
        The ONNX file's bytes.

    Raises
    ------
    ModelRefusedError
        If the file is damaged, keeps tensors in other files, or has functions, subgraphs
        (``If``, ``Loop``, ``Scan``), random operators, or operators outside ``ai.onnx`` and
        ``ai.onnx.ml``.
    """
    try:
        for number, value in _fields(memoryview(content)):
            if number == _MODEL_FUNCTIONS:
                raise ModelRefusedError("Got a model file with functions, but expected none.")
            if number == _MODEL_GRAPH:
                _check_graph(value)
    except (IndexError, UnicodeDecodeError) as error:
        raise ModelRefusedError("Got a damaged model file, but expected ONNX.") from error


def _check_graph(graph: _Message) -> None:
    for number, value in _fields(graph):
        if number == _GRAPH_NODE:
            _check_node(value)
        elif number == _GRAPH_TENSOR:
            _check_tensor(value)
        elif number == _GRAPH_SPARSE_TENSOR:
            _check_sparse_tensor(value)


def _check_node(node: _Message) -> None:
    operator = domain = ""
    for number, value in _fields(node):
        if number == _NODE_OPERATOR:
            operator = str(value, "utf-8")
        elif number == _NODE_DOMAIN:
            domain = str(value, "utf-8")
        elif number == _NODE_ATTRIBUTE:
            _check_attribute(value)
    if domain not in _DOMAINS or operator in _RANDOM:
        raise ModelRefusedError(
            f"Got operator {operator!r} of domain {domain!r}, but expected one of ai.onnx or "
            "ai.onnx.ml that is not random."
        )


def _check_attribute(attribute: _Message) -> None:
    for number, value in _fields(attribute):
        if number in _ATTRIBUTE_GRAPHS:
            raise ModelRefusedError("Got a graph with a subgraph, but expected none.")
        if number in _ATTRIBUTE_TENSORS:
            _check_tensor(value)
        elif number in _ATTRIBUTE_SPARSE_TENSORS:
            _check_sparse_tensor(value)


def _check_sparse_tensor(tensor: _Message) -> None:
    for _, part in _fields(tensor):
        _check_tensor(part)


def _check_tensor(tensor: _Message) -> None:
    for number, _ in _fields(tensor):
        if number in _TENSOR_EXTERNAL:
            raise ModelRefusedError("Got a tensor in another file, but expected it inside.")


def _fields(message: _Message) -> Iterator[tuple[int, _Message]]:
    """Yield the number and the bytes of each length-delimited field, and of few others no bytes.

    Raises `IndexError` where the message ends too early or has an unknown wire type.
    """
    empty = message[:0]
    position = 0
    while position < len(message):
        if (run := _NUMBERS.match(message, position)) is not None:
            position = run.end()
            continue
        tag, position = _read_varint(message, position)
        wire_type = tag & 7
        value = empty
        if wire_type == _LENGTH_DELIMITED:
            length, position = _read_varint(message, position)
            value = message[position : position + length]
            position += length
        elif wire_type == _VARINT:
            _, position = _read_varint(message, position)
        elif wire_type in (_FIXED32, _FIXED64):
            position += 4 if wire_type == _FIXED32 else 8
        else:
            raise IndexError(f"Got protobuf wire type {wire_type}.")
        if position > len(message):
            raise IndexError("Got a protobuf field that is cut off.")
        yield tag >> 3, value


def _read_varint(message: _Message, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
        if shift > 63:
            raise IndexError("Got a protobuf number of more than 64 bits.")
