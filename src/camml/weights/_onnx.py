"""Tensors out of an ONNX graph, under the names that the layers had before the export."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def tensors(path: Path) -> dict[str, Array]:
    """All weights of a graph, by the name they had as parameters; matrices are [out, in] as in a linear layer.

    The exporter keeps the names of most parameters. It renames and transposes the matrices of linear layers, which are
    found again through the node that multiplies by them; 8-bit ones come back as (q - zero point) * scale.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    raw = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {name: array for name, array in raw.items() if not name.startswith("onnx::")}
    for node in graph.node:
        if (matrix := _matrix(node, raw)) is not None:
            # "/blocks.0/attn/qkv/MatMul" was the layer "blocks.0.attn.qkv"
            layer = ".".join(node.name.strip("/").split("/")[:-1])
            found[f"{layer}.weight"] = np.ascontiguousarray(matrix.T)
    return found


def constants(path: Path, op_type: str) -> list[Array]:
    """The nameless constants that nodes of one kind take, in the order of the graph."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    raw = {tensor.name: tensor for tensor in graph.initializer if tensor.name.startswith("onnx::")}
    inputs = [name for node in graph.node if node.op_type == op_type for name in node.input]
    return [numpy_helper.to_array(raw[name]) for name in inputs if name in raw]


def _matrix(node: Any, raw: dict[str, NDArray[Any]]) -> Array | None:
    """The constant [in, out] that a node multiplies by, or None if it is another kind of node."""
    if node.op_type == "MatMul" and node.input[1] in raw:
        return raw[node.input[1]]
    if node.op_type == "MatMulInteger" and node.input[1] in raw:
        scale = raw[node.input[1].replace("_quantized", "_scale")]
        matrix: Array = (raw[node.input[1]].astype(np.float32) - raw[node.input[3]].astype(np.float32)) * scale
        return matrix
    return None
