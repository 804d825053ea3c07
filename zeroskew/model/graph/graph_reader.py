"""The nodes and constants of an ONNX graph, read and written without the onnx package.

The service does not install that package. The numbers of fields are those of ``onnx.proto``
(https://github.com/onnx/onnx); what a graph may contain, `check_graph_contents` says before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zeroskew.online.values.encode import encode_text, encode_varint
from zeroskew.online.values.protobuf_fields import (
    FIXED32,
    FIXED64,
    LENGTH_DELIMITED,
    VARINT,
    Message,
    read_varint,
)

__all__ = [
    "Graph",
    "Node",
    "UnreadableGraphError",
    "read_declared",
    "read_graph",
    "write_input",
    "write_model",
]

_MODEL_GRAPH: Final = 7
_GRAPH_NODE, _GRAPH_NAME, _GRAPH_TENSOR, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 2, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_NODE_TEXTS: Final = (_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_DOMAIN)
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_TENSOR = 1, 3, 5
_TENSOR_DIMENSION, _TENSOR_DTYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_VALUE_NAME, _VALUE_TYPE = 1, 2
_NAMES: Final = {_GRAPH_TENSOR: _TENSOR_NAME, _GRAPH_INPUT: _VALUE_NAME, _GRAPH_OUTPUT: _VALUE_NAME}
"""The fields of a graph whose parts have names, and where each part has it."""

_WIDTHS: Final = {FIXED64: 8, FIXED32: 4}
_DTYPES: Final = {1: "<f4", 6: "<i4", 7: "<i8", 9: "?", 11: "<f8"}
"""numpy's name of each ``TensorProto.DataType`` whose constants are read."""


_TYPE_NAMES: Final = {1: "tensor(float)", 11: "tensor(double)"}


class UnreadableGraphError(ValueError):
    """A graph, or a constant of it, is not written in a way that is read here."""


@dataclass(frozen=True, eq=False)
class Node:
    """One operation of a graph, and its bytes."""

    operator: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    message: Message

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        """Those that are one integer or one tensor."""
        return dict(_read_attributes(self.message))


@dataclass(frozen=True, eq=False)
class Graph:
    """A graph's parts by name, each with its bytes, and the fields of the model beside it."""

    nodes: tuple[Node, ...]
    tensors: Mapping[str, Message]
    inputs: Mapping[str, Message]
    outputs: Mapping[str, Message]
    beside: bytes

    def constant(self, name: str) -> NDArray[Any]:
        """Return one of its constants.

        Raises
        ------
        UnreadableGraphError
            If it has another type than those of calculations, or is not written as raw bytes.
        """
        return _read_tensor(self.tensors[name])


def read_graph(content: bytes) -> Graph:
    """Read a model file's graph.

    Raises
    ------
    UnreadableGraphError
        If the file is damaged.
    """
    try:
        return _read_model(memoryview(content))
    except (IndexError, UnicodeDecodeError) as error:
        raise UnreadableGraphError("Got a damaged model file.") from error


def read_declared(message: Message) -> tuple[str, list[int | str | None]]:
    """Return type and shape of a declared input or output, as the runtime tells them.

    Raises
    ------
    UnreadableGraphError
        If it is damaged, or no tensor.
    """
    try:
        tensor = _only(_only(message, _VALUE_TYPE), 1)
        dimensions = [one for _, one, _ in _split(_only(tensor, 2))]
        dtype = _only(tensor, 1)
        name = _TYPE_NAMES.get(dtype, f"tensor of type {dtype}")
        return name, [_read_dimension(one) for one in dimensions]
    except (LookupError, TypeError, UnicodeDecodeError) as error:
        raise UnreadableGraphError("Got something else than a tensor that is declared.") from error


def write_input(name: str, width: int) -> bytes:
    """Return what declares the input `name`, float32 ``(n, width)``."""
    of_float = _write_number(1, 1)
    shape = _write(1, _write(2, b"n")) + _write(1, _write_number(1, width))
    tensor = _write(1, of_float + _write(2, shape))
    return _write(_VALUE_NAME, name.encode()) + _write(_VALUE_TYPE, tensor)


def write_model(
    graph: Graph, nodes: Sequence[Node], *, given: bytes | Message, result: bytes | Message
) -> bytes:
    """Return a model of some nodes of a graph, with the input `given` and the output `result`."""
    used = {name for node in nodes for name in node.inputs}
    fields = [_write(_GRAPH_NODE, node.message) for node in nodes]
    fields.append(_write(_GRAPH_NAME, b"part"))
    fields += [_write(_GRAPH_TENSOR, graph.tensors[name]) for name in graph.tensors if name in used]
    fields += [_write(_GRAPH_INPUT, given), _write(_GRAPH_OUTPUT, result)]
    return graph.beside + _write(_MODEL_GRAPH, b"".join(fields))


def _read_model(model: Message) -> Graph:
    nodes: list[Node] = []
    named: dict[int, dict[str, Message]] = {part: {} for part in _NAMES}
    beside = bytearray()
    for number, content, whole in _split(model):
        if number != _MODEL_GRAPH:
            beside += whole
            continue
        for part, message, _ in _split(content):
            if part == _GRAPH_NODE:
                nodes.append(_read_node(message))
            elif part in _NAMES:
                named[part][_read_text(message, _NAMES[part])] = message
    tensors, inputs, outputs = (named[part] for part in _NAMES)
    return Graph(tuple(nodes), tensors, inputs, outputs, bytes(beside))


def _read_node(message: Message) -> Node:
    texts: dict[int, list[str]] = {number: [] for number in _NODE_TEXTS}
    for number, content, _ in _split(message):
        if number in texts:
            texts[number].append(str(content, "utf-8"))
    inputs, outputs, operators, domains = texts.values()
    return Node("".join(operators), "".join(domains), tuple(inputs), tuple(outputs), message)


def _read_attributes(node: Message) -> Iterator[tuple[str, int | NDArray[Any]]]:
    for number, attribute, _ in _split(node):
        if number != _NODE_ATTRIBUTE:
            continue
        for part, content, _ in _split(attribute):
            if part == _ATTRIBUTE_INT:
                # Two's complement of 64 bits.
                value = content - (1 << 64) if content >> 63 else content
                yield _read_text(attribute, _ATTRIBUTE_NAME), value
            elif part == _ATTRIBUTE_TENSOR:
                yield _read_text(attribute, _ATTRIBUTE_NAME), _read_tensor(content)


def _read_tensor(message: Message) -> NDArray[Any]:
    shape: list[int] = []
    dtype, raw = None, None
    for number, content, _ in _split(message):
        if number == _TENSOR_DIMENSION and isinstance(content, int):
            shape.append(content)
        elif number == _TENSOR_DTYPE:
            dtype = _DTYPES.get(content)
        elif number == _TENSOR_RAW:
            raw = content
    if dtype is None or raw is None or len(raw) != math.prod(shape) * np.dtype(dtype).itemsize:
        raise UnreadableGraphError("Got a constant that is not raw numbers of its shape.")
    return np.frombuffer(raw, dtype).reshape(shape)


def _read_dimension(message: Message) -> int | str | None:
    for number, content, _ in _split(message):
        return int(content) if number == 1 else str(content, "utf-8")
    return None


def _only(message: Message, number: int) -> Any:
    return [content for one, content, _ in _split(message) if one == number][-1]


def _read_text(message: Message, number: int) -> str:
    return "".join(str(content, "utf-8") for one, content, _ in _split(message) if one == number)


def _split(message: Message) -> Iterator[tuple[int, Any, Message]]:
    """Yield each field's number, its content (an integer or bytes), and all its bytes."""
    position = 0
    while position < len(message):
        begin = position
        tag, position = read_varint(message, position)
        kind = tag & 7
        content: int | Message
        if kind == VARINT:
            content, position = read_varint(message, position)
        else:
            if kind == LENGTH_DELIMITED:
                size, position = read_varint(message, position)
            elif kind in _WIDTHS:
                size = _WIDTHS[kind]
            else:
                raise IndexError(f"Got protobuf wire type {kind}.")
            content = message[position : position + size]
            position += size
        if position > len(message):
            raise IndexError("Got a protobuf field that is cut off.")
        yield tag >> 3, content, message[begin:position]


def _write(number: int, content: bytes | Message) -> bytes:
    return encode_varint(number << 3 | LENGTH_DELIMITED) + encode_text(bytes(content))


def _write_number(number: int, value: int) -> bytes:
    return encode_varint(number << 3 | VARINT) + encode_varint(value)
