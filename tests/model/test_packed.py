"""A model as what was trained alone."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from camml.answering import Decoding, perceiver
from camml.cli import main
from camml.errors import ModelFolderError, OptionError
from camml.model import CamMLForConditionalGeneration, CamMLProcessor, packed
from camml.model.folder import ADDED_FILE, PACKED, is_packed
from camml.model.loading import merge
from camml.model.parts import assemble
from camml.model.retrieval_settings import settings_of
from camml.training.arguments import ModelArguments
from camml.training.building import build
from camml.types import Query
from tests.model.test_parts import SIZES, parts

NAME = "language_model.model.layers.0.mlp.down_proj"
ADDED = ("vlm.projector.", "context_perceiver.")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A packed folder: what CaMML adds, and LoRA matrices of rank 2 for one weight."""
    language, tower = parts(tmp_path, "clip")
    torch.manual_seed(7)
    model, _ = assemble(language, tower, **SIZES)
    added = {
        name.removeprefix("vlm."): tensor.bfloat16().float() + 0.5  # packed files leave out that it is of the `vlm`
        for name, tensor in model.state_dict().items()
        if name.startswith(ADDED)
    }
    rows, columns = dict(model.named_parameters())[f"vlm.{NAME}.weight"].shape
    lora = {f"{NAME}.lora_A": torch.ones(2, columns), f"{NAME}.lora_B": torch.full((rows, 2), 0.25)}
    packed.pack(
        tmp_path / "packed",
        language_model=str(language),
        vision_tower=str(tower),
        sizes=SIZES,
        added=added,
        lora=lora,
        scale=2.0,
    )
    return tmp_path / "packed"


@pytest.mark.long
def test_what_was_trained_comes_back_and_the_rest_is_as_it_was(folder: Path) -> None:
    model, _ = packed.load(folder)
    torch.manual_seed(7)
    base, _ = assemble(folder.parent / "language", folder.parent / "tower", **SIZES)
    for name, tensor in base.state_dict().items():
        expected = tensor
        if name.startswith(ADDED):
            expected = (tensor.bfloat16().float() + 0.5).bfloat16().float()
        elif name == f"vlm.{NAME}.weight":
            expected = tensor + 2.0 * 2 * 0.25
        torch.testing.assert_close(model.state_dict()[name], expected, msg=name)


def test_unpacked_it_is_an_ordinary_folder_with_the_same_logits(folder: Path, tmp_path: Path) -> None:
    model, processor = packed.load(folder)
    merge(folder, tmp_path / "whole")
    inputs = processor.prepare(["what"], [Image.new("RGB", (40, 30), "red")])
    whole = CamMLForConditionalGeneration.from_pretrained(tmp_path / "whole")
    again = CamMLProcessor.from_pretrained(tmp_path / "whole").prepare(["what"], [Image.new("RGB", (40, 30), "red")])
    with torch.no_grad():
        torch.testing.assert_close(whole(**again).logits, model(**inputs).logits)


def test_it_says_how_it_is_to_be_asked(folder: Path) -> None:
    own = packed.load(folder)[1].prompt_style
    about = json.loads((folder / PACKED).read_text())
    (folder / PACKED).write_text(json.dumps({**about, "prompt_style": "bare"}))
    assert packed.load(folder)[1].prompt_style == "bare"
    assert packed.load(folder, prompt_style="chat")[1].prompt_style == "chat"
    (folder / PACKED).write_text(json.dumps({name: value for name, value in about.items() if name != "prompt_style"}))
    assert packed.load(folder)[1].prompt_style == own != "bare"


def test_the_command_unpacks_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", str(folder), str(tmp_path / "whole"), "--dtype", "bfloat16"]) == 0
    whole = CamMLForConditionalGeneration.from_pretrained(tmp_path / "whole", dtype="auto")
    assert whole.dtype == torch.bfloat16
    assert main(["merge", str(folder), str(tmp_path / "other"), "--dtype", "float3"]) == 2
    assert "no dtype 'float3'" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_sixteen_bits_are_all_that_is_kept(folder: Path) -> None:
    assert is_packed(folder)
    assert not is_packed(folder.parent)
    model, _ = packed.load(folder)
    added = sum(part.numel() for name, part in model.named_parameters() if "perceiver" in name or "projector" in name)
    assert (folder / ADDED_FILE).stat().st_size < 2 * added + 40_000


def test_it_answers_as_it_is(folder: Path) -> None:
    answerer = perceiver.load(folder, "cpu", "float32", prompt_style="official")
    assert answerer.processor.prompt_style == "official"
    said = answerer.answer([Query("what", Image.new("RGB", (40, 30), "red"))], [()], Decoding(max_new_tokens=2))
    assert said[0].prompt.startswith("A chat between")


def test_it_is_not_trained_further_as_it_is(folder: Path) -> None:
    with pytest.raises(OptionError, match="is packed; make a model folder of it with `camml merge"):
        build(ModelArguments(model_name_or_path=str(folder)))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (PACKED, "{", "cannot be used"),
        (PACKED, "{}", "language_model"),
        (PACKED, None, "cannot be used"),
        (ADDED_FILE, "torn", ADDED_FILE),
        (packed.LORA, None, packed.LORA),
    ],
)
def test_damage_is_named(folder: Path, file: str, content: str | None, message: str) -> None:
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(ModelFolderError, match=message):
        packed.load(folder)


def test_sizes_that_do_not_fit_are_named(folder: Path) -> None:
    about = json.loads((folder / PACKED).read_text())
    about["sizes"]["perceiver_layers"] = 1
    (folder / PACKED).write_text(json.dumps(about))
    with pytest.raises(ModelFolderError, match="context_perceiver has unexpected keys"):
        packed.load(folder)


def test_unpacked_it_still_says_how_its_samples_are_found(folder: Path, tmp_path: Path) -> None:
    about = json.loads((folder / PACKED).read_text())
    about["retrieval"] = {"encoder": "hashed", "encoder_options": {"heads": "maps.bin", "joint": True}, "shots": 3}
    (folder / PACKED).write_text(json.dumps(about))
    (folder / "maps.bin").write_bytes(b"maps")
    merge(folder, tmp_path / "whole")
    before, after = settings_of(folder), settings_of(tmp_path / "whole")
    assert after.stated
    assert (after.encoder, after.shots) == ("hashed", 3)
    assert after.encoder_options == {"heads": str((tmp_path / "whole" / "maps.bin").resolve()), "joint": True}
    assert Path(str(before.encoder_options["heads"])).read_bytes() == (tmp_path / "whole" / "maps.bin").read_bytes()


def test_a_folder_that_says_nothing_of_retrieval_still_says_nothing(folder: Path, tmp_path: Path) -> None:
    merge(folder, tmp_path / "whole")
    assert not (tmp_path / "whole" / "retrieval.json").exists()
    assert not settings_of(tmp_path / "whole").stated
