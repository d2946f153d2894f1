"""A model from parts, for images of whatever side."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoModelForCausalLM, CLIPImageProcessorPil, SiglipImageProcessorPil

from camml.errors import OptionError
from camml.model import CamMLForConditionalGeneration, CamMLProcessor
from camml.model.parts import assemble
from tests import tiny

SIZES = {"perceiver_hidden_size": 24, "perceiver_heads": 2, "perceiver_queries": 3, "perceiver_intermediate_size": 32}


def parts(folder: Path, kind: str) -> tuple[Path, Path]:
    """Folders of a language model and a tower; that of DINOv2 has positions for larger images than its own."""
    torch.manual_seed(0)
    vision = tiny.vision_config(kind)
    if kind == "dinov2":
        vision.image_size = 42
    AutoModel.from_config(vision).save_pretrained(folder / "tower")
    if kind == "siglip":
        images = SiglipImageProcessorPil(size={"height": 28, "width": 28})
    else:
        images = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    images.save_pretrained(folder / "tower")
    AutoModelForCausalLM.from_config(tiny.text_config()).save_pretrained(folder / "language")
    tiny.tokenizer().save_pretrained(folder / "language")
    return folder / "language", folder / "tower"


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov2"])
@pytest.mark.parametrize("side", [None, 14, 56])
def test_images_have_the_side_asked_for_or_that_of_the_image_processor(
    kind: str, side: int | None, tmp_path: Path
) -> None:
    model, processor = assemble(*parts(tmp_path, kind), image_size=side, **SIZES)
    patches = ((side or 28) // 7) ** 2
    assert (model.config.vlm_config.image_size, model.config.vlm_config.patch_tokens) == (side or 28, patches)
    picture = Image.new("RGB", (40, 30), "red")
    with torch.no_grad():
        before = model.eval()(**processor.prepare(["what"], [picture])).logits
    assert model.vlm.tower_features(processor.pixels([picture])).shape == (1, patches, 16)
    model.save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")
    loaded = CamMLForConditionalGeneration.from_pretrained(tmp_path / "saved")
    again = CamMLProcessor.from_pretrained(tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(loaded(**again.prepare(["what"], [picture])).logits, before)


@pytest.mark.parametrize("side", [0, 5, 30, -7])
def test_a_side_of_no_whole_patches_is_an_error(side: int, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=rf"--image_size is {side}; give a multiple of 7"):
        assemble(*parts(tmp_path, "clip"), image_size=side, **SIZES)
