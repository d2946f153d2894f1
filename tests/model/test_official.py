"""Official checkpoints, and new models from parts."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, BertConfig, BertModel, CLIPVisionModel, LlamaForCausalLM

from camml.errors import ModelFolderError
from camml.model import CamMLForConditionalGeneration, CamMLProcessor, loading, official
from camml.model.parts import assemble
from camml.training.bert import start_from_bert
from camml.types import Sample
from tests import tiny

TOWER = official.OUTER_PARTS["vlm.vision_tower"] + "."


def write_official(
    folder: Path, *, with_tower: bool = True, model: CamMLForConditionalGeneration | None = None
) -> CamMLForConditionalGeneration:
    """Write a checkpoint in the official layout, made from a model of ours, which is given back."""
    if model is None:
        model = tiny.model(tiny.config(perceiver_positions=False, projector_type="mlp2x_gelu", perceiver_heads=12))
    settings = model.config
    names = {f"context_perceiver.{part}": theirs for part, theirs in ours_to_theirs()}
    tensors = {}
    for name, tensor in model.state_dict().items():
        part, _, kind = name.rpartition(".")
        if name.startswith("vlm.language_model."):
            tensors[name.removeprefix("vlm.language_model.")] = tensor
        elif name.startswith("vlm.vision_tower."):
            inner = name.removeprefix("vlm.vision_tower.").removeprefix("vision_model.")
            tensors[f"{TOWER}vision_model.{inner}"] = tensor
        elif name.startswith("vlm.projector."):
            tensors[f"model.mm_projector.{name.removeprefix('vlm.projector.')}"] = tensor
        else:
            tensors[names.get(name) or f"{names[part]}.{kind}"] = tensor
    tensors["vision_perceiver.cls.predictions.bias"] = torch.zeros(3)
    folder.mkdir(parents=True, exist_ok=True)
    if not with_tower:
        tensors = {name: tensor for name, tensor in tensors.items() if TOWER not in name}
    torch.save(tensors, folder / "pytorch_model.bin")
    text = settings.get_text_config().to_dict()
    (folder / "config.json").write_text(
        json.dumps(
            {key: text[key] for key in text if key not in ("model_type", "dtype", "architectures")}
            | {
                "model_type": "CaMML", "mm_vision_tower": "tower", "mm_projector_type": "mlp2x_gelu",
                "perceiver_hidden_size": 24, "perceiver_querys": 3, "perceiver_layers": 2, "image_aspect_ratio": "pad",
            }
        )
    )  # fmt: skip
    model.vlm.vision_tower.save_pretrained(folder / "tower")
    tiny.processor(settings).image_processor.save_pretrained(folder / "tower")
    tiny.tokenizer().save_pretrained(folder)
    return model


def ours_to_theirs() -> list[tuple[str, str]]:
    results = [(ours.removeprefix("context_perceiver."), theirs) for ours, theirs in official.OUTER_PARTS.items()]
    for name in ("vision", "language", "context"):
        bert = f"{name}_perceiver.bert"
        results.append((f"{name}_perceiver.norm", f"{bert}.embeddings.LayerNorm"))
        results += [
            (f"{name}_perceiver.layers.{n}.{ours}", f"{bert}.encoder.layer.{n}.{theirs}")
            for n in range(2)
            for ours, theirs in official.LAYER_PARTS.items()
        ]
    return results


@pytest.fixture
def inputs(tmp_path: Path):
    picture = tiny.image(tmp_path, "query", (200, 180, 0))
    return {"text": ["what"], "images": [picture], "samples": [tiny.samples(tmp_path)]}


def logits(model, processor, inputs) -> torch.Tensor:
    with torch.no_grad():
        return model(**processor.prepare(**inputs)).logits


@pytest.fixture
def wide_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The official feed-forward width of 3072 for these tiny models too."""
    config = tiny.config

    def wide(*args, **sizes):
        return config(*args, **{"perceiver_intermediate_size": 3072, **sizes})

    monkeypatch.setattr(tiny, "config", wide)


@pytest.mark.usefixtures("wide_inside")
class TestOfficialFolders:
    def test_one_is_read_as_it_is(self, tmp_path, inputs) -> None:
        made = write_official(tmp_path / "official")
        model = CamMLForConditionalGeneration.from_pretrained(tmp_path / "official")
        processor = CamMLProcessor.from_pretrained(tmp_path / "official")
        assert processor.prompt_style == "official"
        assert torch.equal(logits(model, processor, inputs), logits(made, processor, inputs))

    def test_conversion_gives_an_ordinary_folder_with_the_same_answers(self, tmp_path, inputs) -> None:
        made = write_official(tmp_path / "official")
        loading.convert(tmp_path / "official", tmp_path / "ours")
        assert not official.is_official(tmp_path / "ours")
        model = AutoModelForImageTextToText.from_pretrained(tmp_path / "ours")
        processor = CamMLProcessor.from_pretrained(tmp_path / "ours")
        assert torch.equal(logits(model, processor, inputs), logits(made, processor, inputs))

    def test_a_tower_left_out_of_the_checkpoint_is_read_from_its_own_folder(self, tmp_path, inputs) -> None:
        made = write_official(tmp_path / "official", with_tower=False)
        model = CamMLForConditionalGeneration.from_pretrained(tmp_path / "official")
        processor = CamMLProcessor.from_pretrained(tmp_path / "official")
        assert torch.equal(logits(model, processor, inputs), logits(made, processor, inputs))

    def test_a_tower_folder_left_out_is_read_off_the_checkpoint(self, tmp_path) -> None:
        write_official(tmp_path / "official")
        shutil.rmtree(tmp_path / "official" / "tower")
        vision = CamMLForConditionalGeneration.from_pretrained(tmp_path / "official").config.vlm_config.vision_config
        made = tiny.vision_config()
        for name in ("hidden_size", "image_size", "patch_size", "num_hidden_layers", "intermediate_size"):
            assert getattr(vision, name) == getattr(made, name)

    def test_nothing_is_written_over(self, tmp_path) -> None:
        write_official(tmp_path / "official")
        (tmp_path / "ours").mkdir()
        with pytest.raises(ModelFolderError, match="there already"):
            loading.convert(tmp_path / "official", tmp_path / "ours")

    def test_a_failure_leaves_nothing_behind(self, tmp_path, monkeypatch) -> None:
        write_official(tmp_path / "official")
        monkeypatch.setattr(CamMLProcessor, "save_pretrained", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loading.convert(tmp_path / "official", tmp_path / "ours")
        assert [file.name for file in tmp_path.iterdir()] == ["official"]

    @pytest.mark.parametrize("lost", ["query_tokens_text", "lm_head.weight", "context_proj_vision.bias",
                                      "model.vision_tower.vision_tower.vision_model.post_layernorm.bias"])  # fmt: skip
    def test_a_missing_tensor_is_named(self, tmp_path, lost) -> None:
        write_official(tmp_path)
        tensors = torch.load(tmp_path / "pytorch_model.bin")
        del tensors[lost]
        torch.save(tensors, tmp_path / "pytorch_model.bin")
        with pytest.raises(ModelFolderError, match="missing keys"):
            CamMLForConditionalGeneration.from_pretrained(tmp_path)

    def test_a_foreign_tensor_is_named(self, tmp_path) -> None:
        write_official(tmp_path)
        tensors = torch.load(tmp_path / "pytorch_model.bin")
        tensors["adapter.weight"] = torch.zeros(2)
        torch.save(tensors, tmp_path / "pytorch_model.bin")
        with pytest.raises(ModelFolderError, match=r"unexpected keys: .*adapter\.weight"):
            CamMLForConditionalGeneration.from_pretrained(tmp_path)

    def test_a_broken_file_is_named(self, tmp_path) -> None:
        write_official(tmp_path)
        data = (tmp_path / "pytorch_model.bin").read_bytes()
        (tmp_path / "pytorch_model.bin").write_bytes(data[: len(data) // 2])
        with pytest.raises(ModelFolderError, match=r"pytorch_model\.bin cannot be read as weights"):
            CamMLForConditionalGeneration.from_pretrained(tmp_path)

    def test_a_folder_of_another_kind_is_refused(self, tmp_path) -> None:
        tiny.model().save_pretrained(tmp_path / "ours")
        with pytest.raises(ModelFolderError, match="not in the official layout"):
            loading.convert(tmp_path / "ours", tmp_path / "new")


class TestAssemble:
    @pytest.fixture
    def folders(self, tmp_path: Path) -> tuple[Path, Path]:
        torch.manual_seed(1)
        LlamaForCausalLM(tiny.text_config()).save_pretrained(tmp_path / "llm")
        tiny.tokenizer().save_pretrained(tmp_path / "llm")
        CLIPVisionModel(tiny.vision_config()).save_pretrained(tmp_path / "tower")
        tiny.processor().image_processor.save_pretrained(tmp_path / "tower")
        return tmp_path / "llm", tmp_path / "tower"

    SIZES = {"perceiver_hidden_size": 24, "perceiver_queries": 3, "perceiver_intermediate_size": 32}  # noqa: RUF012

    def test_parts_arrive_whole(self, folders) -> None:
        model, processor = assemble(*folders, **self.SIZES)
        language, tower = LlamaForCausalLM.from_pretrained(folders[0]), CLIPVisionModel.from_pretrained(folders[1])
        for part, made in ((model.vlm.language_model, language), (model.vlm.vision_tower, tower)):
            result = part.state_dict()
            assert all(torch.equal(result[name], tensor) for name, tensor in made.state_dict().items())
        assert processor.prompt_style == "chat"
        assert processor.prepare(["what"], samples=[[Sample("a", "red")]])["input_ids"].shape[0] == 1

    @pytest.mark.parametrize("kind", ["linear", "mlp2x_gelu", "mlp3x_gelu"])
    def test_a_projector_file_says_its_type(self, folders, tmp_path, kind) -> None:
        made = CamMLForConditionalGeneration(tiny.config(projector_type=kind)).vlm.projector
        torch.save({f"model.mm_projector.{n}": t for n, t in made.state_dict().items()}, tmp_path / "mm_projector.bin")
        model, _ = assemble(*folders, projector=tmp_path / "mm_projector.bin", **self.SIZES)
        assert model.config.vlm_config.projector_type == kind
        assert all(torch.equal(model.vlm.projector.state_dict()[n], t) for n, t in made.state_dict().items())

    def test_perceivers_start_from_bert(self, folders, tmp_path) -> None:
        sizes = {"hidden_size": 24, "num_attention_heads": 12, "intermediate_size": 32, "num_hidden_layers": 3}
        bert = BertModel(BertConfig(vocab_size=30, **sizes))
        bert.save_pretrained(tmp_path / "bert")
        model, _ = assemble(*folders, start=lambda new: start_from_bert(new, tmp_path / "bert"), **self.SIZES)
        layer = model.context_perceiver.language_perceiver.layers[1]
        assert torch.equal(layer.self_attention.key.weight, bert.encoder.layer[1].attention.self.key.weight)
        assert torch.equal(layer.contract.weight, bert.encoder.layer[1].output.dense.weight)

    def test_a_projector_of_another_width_is_refused(self, folders, tmp_path) -> None:
        torch.save({"mm_projector.weight": torch.zeros(5, 5), "mm_projector.bias": torch.zeros(5)}, tmp_path / "p.bin")
        with pytest.raises(ModelFolderError, match="mismatched keys"):
            assemble(*folders, projector=tmp_path / "p.bin", **self.SIZES)

    @pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04broken"])
    def test_a_broken_projector_is_named(self, folders, tmp_path, content) -> None:
        (tmp_path / "p.bin").write_bytes(content)
        with pytest.raises(ModelFolderError, match=r"p\.bin cannot be read"):
            assemble(*folders, projector=tmp_path / "p.bin", **self.SIZES)

    def test_a_folder_that_is_none_is_named(self, folders, tmp_path) -> None:
        with pytest.raises(ModelFolderError, match="nowhere"):
            assemble(tmp_path / "nowhere", folders[1])
        with pytest.raises(ModelFolderError, match=r"no config\.json"):
            assemble(tmp_path, folders[1])


def test_safetensors_are_read_before_pickles(tmp_path) -> None:
    from camml.model.folder import read_tensors

    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    save_file({"b": torch.ones(1)}, tmp_path / "model.safetensors")
    assert dict(read_tensors(tmp_path)) == load_file(tmp_path / "model.safetensors")
