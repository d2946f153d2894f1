"""Tensors come out of an ONNX graph under the names of the layers."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from camml.weights import _onnx


def save(path: Path, nodes: list[onnx.NodeProto], tensors: dict[str, np.ndarray]) -> Path:
    """A graph file of these nodes and constants."""
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    onnx.save(helper.make_model(helper.make_graph(nodes, "graph", [info], [info], constants)), str(path))
    return path


def test_matrices_are_named_and_turned(tmp_path: Path) -> None:
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    nodes = [helper.make_node("MatMul", ["x", "onnx::MatMul_7"], ["y"], name="/blocks.0/mlp/fc1/MatMul")]
    bias = np.ones(3, np.float32)
    path = save(tmp_path / "g.onnx", nodes, {"model.blocks.0.mlp.fc1.bias": bias, "onnx::MatMul_7": matrix})
    found = _onnx.tensors(path)
    assert set(found) == {"model.blocks.0.mlp.fc1.bias", "blocks.0.mlp.fc1.weight"}
    np.testing.assert_array_equal(found["blocks.0.mlp.fc1.weight"], matrix.T)


def test_products_of_two_activations_are_no_weights(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "y"], ["z"], name="/attn/MatMul")]
    assert _onnx.tensors(save(tmp_path / "g.onnx", nodes, {})) == {}


def test_8_bit_matrices_are_dequantised(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    scale = (np.abs(matrix).max(0) / 100).astype(np.float32)
    zero = np.array([3, -2, 0, 7], np.int8)
    quantized = (np.round(matrix / scale) + zero).astype(np.int8)
    nodes = [
        helper.make_node(
            "MatMulInteger", ["x", "onnx::M_quantized", "x", "onnx::M_zero"], ["y"], name="/fc/MatMul_quant"
        )
    ]
    tensors = {"onnx::M_quantized": quantized, "onnx::M_scale": scale, "onnx::M_zero": zero}
    found = _onnx.tensors(save(tmp_path / "g.onnx", nodes, tensors))
    assert set(found) == {"fc.weight"}
    assert np.abs(found["fc.weight"].T - matrix).max() <= scale.max() / 2 + 1e-6


def test_nameless_constants_are_found_by_their_use(tmp_path: Path) -> None:
    array = np.ones((1, 4, 2), np.float32)
    nodes = [helper.make_node("Reshape", ["onnx::Reshape_1", "shape"], ["y"], name="/Reshape")]
    path = save(tmp_path / "g.onnx", nodes, {"onnx::Reshape_1": array, "named": array})
    [found] = _onnx.constants(path, "Reshape")
    np.testing.assert_array_equal(found, array)
