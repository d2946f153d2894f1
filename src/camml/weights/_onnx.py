"""Tensors out of an ONNX graph, under the names that the layers had before the export.

Source of the numbers of fields and types: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camml.errors import FetchError
from camml.weights import _protobuf
from camml.weights._protobuf import Value

Array = NDArray[np.float32]

MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_INPUT, NODE_NAME, NODE_OP_TYPE = 1, 3, 4
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW = 1, 2, 8, 9
TENSOR_LISTS = {4: "<f4", 5: "int", 7: "int", 10: "<f8"}
"""Fields that hold numbers one by one where a tensor has no raw bytes."""
TYPES = {1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8"}


@dataclass(slots=True)
class _Node:
    """An operation of the graph."""

    name: str
    op_type: str
    input: list[str]


def tensors(path: Path) -> dict[str, Array]:
    """Return all weights of a graph, by the name they had as parameters; matrices are [out, in] as in a linear layer.

    The exporter keeps the names of most parameters. It renames and transposes the matrices of linear layers, which are
    found again through the node that multiplies by them; 8-bit ones come back as (q - zero point) * scale.

    Raises:
      FetchError: it is not an ONNX graph.
    """
    nodes, raw = _graph(path)
    weights = {name: array for name, array in raw.items() if not name.startswith("onnx::")}
    for node in nodes:
        if (matrix := _matrix(node, raw)) is not None:
            # "/blocks.0/attn/qkv/MatMul" was the layer "blocks.0.attn.qkv"
            layer = ".".join(node.name.strip("/").split("/")[:-1])
            weights[f"{layer}.weight"] = np.ascontiguousarray(matrix.T)
    return weights


def constants(path: Path, op_type: str) -> list[Array]:
    """Return the nameless constants that nodes of one kind take, in the order of the graph.

    Raises:
      FetchError: it is not an ONNX graph.
    """
    nodes, raw = _graph(path)
    inputs = [name for node in nodes if node.op_type == op_type for name in node.input]
    return [raw[name] for name in inputs if name.startswith("onnx::") and name in raw]


def _graph(path: Path) -> tuple[list[_Node], dict[str, NDArray[Any]]]:
    """Return the nodes of a graph file, and its constants by name."""
    nodes: list[_Node] = []
    raw: dict[str, NDArray[Any]] = {}
    try:
        for number, value in _inner(memoryview(path.read_bytes()), MODEL_GRAPH):
            if number == GRAPH_NODE:
                nodes.append(_node(value))
            elif number == GRAPH_INITIALIZER:
                name, array = _tensor(value)
                raw[name] = array
    except (ValueError, KeyError, TypeError) as error:
        raise FetchError(f"{path.name} is not an ONNX graph that can be read here: {error}") from error
    return nodes, raw


def _inner(message: memoryview, wanted: int) -> Iterator[tuple[int, memoryview]]:
    """Yield the messages in the message that is field `wanted` of another."""
    for number, value in _protobuf.fields(message):
        if number == wanted:
            for inner, part in _protobuf.fields(_bytes(value)):
                if isinstance(part, memoryview):
                    yield inner, part


def _node(message: memoryview) -> _Node:
    node = _Node("", "", [])
    for number, value in _protobuf.fields(message):
        if number == NODE_INPUT:
            node.input.append(_text(value))
        elif number == NODE_NAME:
            node.name = _text(value)
        elif number == NODE_OP_TYPE:
            node.op_type = _text(value)
    return node


def _tensor(message: memoryview) -> tuple[str, NDArray[Any]]:
    """Return the name of a tensor, and its numbers."""
    dims: list[int] = []
    numbers: list[float] = []
    name, kind, raw = "", 0, None
    for number, value in _protobuf.fields(message):
        if number == TENSOR_DIMS:
            dims += _protobuf.integers(value)
        elif number == TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number == TENSOR_NAME:
            name = _text(value)
        elif number == TENSOR_RAW:
            raw = _bytes(value)
        elif (form := TENSOR_LISTS.get(number)) is not None:
            numbers += _protobuf.integers(value) if form == "int" else np.frombuffer(_bytes(value), form).tolist()
    if kind not in TYPES:
        raise ValueError(f"the tensor {name!r} is of the kind {kind}, which is not read here")
    if raw is None and kind == 10:  # half precision in a list is written as the integers with the same bits
        return name, np.array(numbers, np.uint16).view(np.float16).reshape(dims)
    array = np.array(numbers, TYPES[kind]) if raw is None else np.frombuffer(raw, TYPES[kind])
    return name, array.reshape(dims)


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return value


def _text(value: Value) -> str:
    return str(_bytes(value), "utf-8")


def _matrix(node: _Node, raw: dict[str, NDArray[Any]]) -> Array | None:
    """Return the constant [in, out] that a node multiplies by, or None if it is another kind of node."""
    if node.op_type == "MatMul" and node.input[1] in raw:
        return raw[node.input[1]]
    if node.op_type == "MatMulInteger" and node.input[1] in raw:
        scale = raw[node.input[1].replace("_quantized", "_scale")]
        matrix: Array = (raw[node.input[1]].astype(np.float32) - raw[node.input[3]].astype(np.float32)) * scale
        return matrix
    return None
