"""Tensors come out of an ONNX graph under the names of the layers."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from camml.errors import FetchError
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
    result = _onnx.tensors(path)
    assert set(result) == {"model.blocks.0.mlp.fc1.bias", "blocks.0.mlp.fc1.weight"}
    np.testing.assert_array_equal(result["blocks.0.mlp.fc1.weight"], matrix.T)


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
    result = _onnx.tensors(save(tmp_path / "g.onnx", nodes, tensors))
    assert set(result) == {"fc.weight"}
    assert np.abs(result["fc.weight"].T - matrix).max() <= scale.max() / 2 + 1e-6


def test_nameless_constants_are_found_by_their_use(tmp_path: Path) -> None:
    array = np.ones((1, 4, 2), np.float32)
    nodes = [helper.make_node("Reshape", ["onnx::Reshape_1", "shape"], ["y"], name="/Reshape")]
    path = save(tmp_path / "g.onnx", nodes, {"onnx::Reshape_1": array, "named": array})
    [result] = _onnx.constants(path, "Reshape")
    np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize("raw", [True, False], ids=["bytes", "lists"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint8", "int32", "int64", "bool"])
def test_constants_are_those_of_the_official_reader(tmp_path: Path, dtype: str, raw: bool) -> None:
    array = (np.arange(-6, 6).reshape(3, 4) % 250).astype(dtype)
    if dtype.startswith(("float", "int")):
        array = -array
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    values = array.tobytes() if raw else array.flatten().tolist()
    tensor = helper.make_tensor("w", kind, array.shape, values, raw=raw)
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    onnx.save(helper.make_model(helper.make_graph([], "graph", [info], [info], [tensor])), str(tmp_path / "g.onnx"))
    [(name, ours)] = _onnx.tensors(tmp_path / "g.onnx").items()
    assert (name, ours.dtype, ours.shape) == ("w", array.dtype, array.shape)
    np.testing.assert_array_equal(ours, numpy_helper.to_array(tensor))


@pytest.mark.long
@pytest.mark.parametrize("data", [b"\x3b", b"\x3a\x7f12", b"\x38\xff"])
def test_a_file_that_is_no_graph_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(data)
    with pytest.raises(FetchError, match=r"broken\.onnx is not an ONNX graph"):
        _onnx.tensors(path)
