"""ImageBind's two towers."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from camml import encoders
from camml.encoders import imagebind
from camml.encoders._imagebind import Towers
from camml.errors import ModelFolderError, OptionError
from tests.encoders.tiny_encoders import imagebind_state, save_imagebind
from tests.parity import imagebind_parity

HEADS = {"vision": 2, "text": 2}


@pytest.mark.weights
@pytest.mark.timeout(600)  # the weights may have to be fetched first
def test_parity_with_the_reference_results(golden: Path) -> None:
    differences = imagebind_parity(golden / "imagebind_tiny")
    assert differences["vision"] < 1e-5
    assert differences["text"] < 1e-5
    assert differences["tokens"] == 0


def test_two_equal_frames_are_one_frame_with_the_kernels_added(tmp_path: Path) -> None:
    state = imagebind_state()
    towers = Towers.from_official(state, HEADS)
    kernel = state["modality_preprocessors.vision.rgbt_stem.proj.1.weight"]
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.conv3d(torch.stack([pixels, pixels], 2), kernel, stride=kernel.shape[2:])[:, :, 0]
    torch.testing.assert_close(towers.vision.stem(pixels), expected, atol=1e-4, rtol=1e-4)


def test_what_follows_the_end_mark_does_not_matter() -> None:
    towers = Towers.from_official(imagebind_state(), HEADS)
    tokens = torch.zeros(2, 77, dtype=torch.long)
    tokens[:, :4] = torch.tensor([49406, 320, 1929, 49407])
    tokens[1, 4:] = 17
    first, other = towers.text(tokens)
    torch.testing.assert_close(first, other)


def test_the_scale_is_limited() -> None:
    towers = Towers.from_official(imagebind_state(), HEADS)
    with torch.no_grad():
        towers.text.log_scale.fill_(9.0)
    assert towers.text.scale == 100


def test_the_middle_square_is_seen() -> None:
    image = Image.new("RGB", (400, 200), "black")
    image.paste("white", (100, 0, 300, 200))
    pixels = imagebind._prepare(image)
    assert pixels.shape == (3, 224, 224)
    white = (1 - np.array(imagebind.MEAN)) / imagebind.STD
    np.testing.assert_allclose(pixels[:, 112, 112], white, 1e-5)
    np.testing.assert_allclose(pixels[:, 0, 4], white, 1e-5)


def test_loading_tells_the_licence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = save_imagebind(tmp_path / "ib")
    with caplog.at_level(logging.WARNING):
        encoders.load("imagebind", **options)
    assert ["CC BY-NC-SA 4.0" in message for message in caplog.messages] == [True]


class TestBadInput:
    def test_no_file_says_where_to_get_it(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
        with pytest.raises(ModelFolderError, match=r"home/weights/imagebind_huge\.pth; download https"):
            encoders.load("imagebind")
        with pytest.raises(ModelFolderError, match=r"at nowhere\.pth"):
            encoders.load("imagebind", model="nowhere.pth")

    @pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 half a zip"])
    def test_a_file_that_is_no_state_dict_is_an_error(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "it.pth").write_bytes(content)
        with pytest.raises(ModelFolderError, match=r"it\.pth is not a PyTorch state dict"):
            encoders.load("imagebind", model=str(tmp_path / "it.pth"))

    def test_something_else_than_a_state_dict_is_an_error(self, tmp_path: Path) -> None:
        torch.save([1, 2], tmp_path / "it.pth")
        with pytest.raises(ModelFolderError, match="holds a list"):
            encoders.load("imagebind", model=str(tmp_path / "it.pth"))

    def test_a_state_dict_of_another_model_is_an_error(self) -> None:
        with pytest.raises(ModelFolderError, match="not an ImageBind state dict: there is no"):
            Towers.from_official({"weight": torch.zeros(2)}, HEADS)

    def test_a_missing_tensor_is_named(self) -> None:
        state = imagebind_state()
        del state["modality_trunks.text.blocks.1.norm_2.bias"]
        with pytest.raises(ModelFolderError, match=r"text\.blocks\.1\.norm_2\.bias"):
            Towers.from_official(state, HEADS)

    def test_heads_that_do_not_divide_the_width_are_an_error(self) -> None:
        with pytest.raises(OptionError, match="3"):
            Towers.from_official(imagebind_state(), {"vision": 3, "text": 3})

    def test_a_folder_without_reference_results_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFolderError, match=r"expected\.json"):
            imagebind_parity(tmp_path)
