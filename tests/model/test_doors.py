"""Every way into a model: each field of a configuration through save and load, and each kind of folder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from camml import load_model
from camml.cli import main
from camml.errors import CaMMLError, ModelFolderError, OptionError
from camml.model import CamMLConfig, CamMLForConditionalGeneration, CamMLProcessor, LlavaPartsConfig, check_fits, packed
from camml.model.parts import assemble
from camml.types import Sample
from tests import tiny
from tests.model.test_official import write_official
from tests.model.test_parts import SIZES, parts

GIVEN = {"vlm_config", "vision_config", "text_config"}  # other tests save and load these, of every kind
RUN_ON = {"perceiver_hidden_size": 64, "perceiver_run_on": True}  # places need some width to run on
OWN: dict[str, dict[str, Any]] = {
    "grounded": {"grounded": True},
    "context_token_id": {"context_token_id": 330},
    "perceiver_hidden_size": {"perceiver_hidden_size": 32},
    "perceiver_queries": {"perceiver_queries": 5},
    "perceiver_layers": {"perceiver_layers": 3},
    "perceiver_heads": {"perceiver_heads": 4},
    "perceiver_intermediate_size": {"perceiver_intermediate_size": 40},
    "perceiver_dropout": {"perceiver_dropout": 0.25},
    "perceiver_positions": {"perceiver_positions": False},
    "perceiver_run_on": RUN_ON,
    "perceiver_seamless": {**RUN_ON, "perceiver_seamless": True},
    "sample_max_length": {"sample_max_length": 3},
    "base_models": {"base_models": ["owner/name"]},
    "initializer_range": {"initializer_range": 0.5},
    "tie_word_embeddings": {"tied": True},
}
SEEING: dict[str, dict[str, Any]] = {
    "image_size": {"image_size": 14},
    "image_token_id": {"image_token_id": 333},
    "vision_feature_layer": {"vision_feature_layer": -1},
    "vision_feature_select": {"vision_feature_select": "all"},
    "image_pooling": {"image_pooling": 2},
    "projector_type": {"projector_type": "linear"},
    "initializer_range": {"initializer_range": 0.5},
    "tie_word_embeddings": {"tied": True},
}


def asked(processor: CamMLProcessor, folder: Path) -> dict[str, torch.Tensor]:
    """A question with a picture and samples, and one with nothing."""
    rows = [tiny.image(folder, "query", (200, 180, 0)), None], [tiny.samples(folder), []]
    return dict(processor.prepare(["what is it", "hello"], *rows))


@torch.no_grad()
def logits(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The logits of both rows."""
    scores: torch.Tensor = model(**inputs).logits
    return scores


def test_no_field_is_forgotten() -> None:
    assert OWN.keys() == CamMLConfig.__dataclass_fields__.keys() & CamMLConfig.__annotations__.keys() - GIVEN
    assert (
        SEEING.keys() == LlavaPartsConfig.__dataclass_fields__.keys() & LlavaPartsConfig.__annotations__.keys() - GIVEN
    )


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov2"])
def test_all_features_of_a_tower_are_used_where_asked(kind: str, tmp_path: Path) -> None:
    config = tiny.config(kind, vision_feature_select="all")
    assert config.vlm_config.image_tokens == (16 if kind == "siglip" else 17)
    inputs = asked(tiny.processor(config), tmp_path)
    assert logits(tiny.model(config), inputs).isfinite().all()
    with pytest.raises(OptionError, match="no vision_feature_select 'some'; there are: patch, all"):
        tiny.config(kind, vision_feature_select="some")


@pytest.mark.long
@pytest.mark.parametrize(("name", "sizes"), [*OWN.items(), *((f"vlm.{name}", sizes) for name, sizes in SEEING.items())])
def test_a_field_comes_through_save_and_load(name: str, sizes: dict[str, Any], tmp_path: Path) -> None:
    config = tiny.config(**sizes)
    own, usual = (getattr(c.vlm_config if name.startswith("vlm.") else c, name.removeprefix("vlm."))
                  for c in (config, tiny.config()))  # fmt: skip
    assert own != usual, "a value that is not the usual one"
    model, processor = tiny.model(config), tiny.processor(config)
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    again, reader = load_model(tmp_path / "model")
    for field in OWN:
        assert getattr(again.config, field) == getattr(config, field), field
    for field in SEEING:
        assert getattr(again.config.vlm_config, field) == getattr(config.vlm_config, field), field
    assert reader.to_dict() == processor.to_dict()
    inputs = asked(processor, tmp_path)
    reread = asked(reader, tmp_path)
    assert inputs.keys() == reread.keys()
    assert all(torch.equal(inputs[key], reread[key]) for key in inputs)
    assert torch.equal(logits(again, reread), logits(model, inputs))
    for auto in (AutoModelForImageTextToText.from_pretrained(tmp_path / "model"),
                 CamMLForConditionalGeneration.from_pretrained(tmp_path / "model", dtype="auto")):  # fmt: skip
        assert torch.equal(logits(auto.eval(), reread), logits(model, inputs))


@pytest.mark.parametrize(
    "options",
    [{"prompt_style": "bare"}, {"prompt_style": "official", "thinking": True}, {"image_aspect_ratio": "keep"}],
)
def test_settings_of_a_processor_come_through(options: dict[str, Any], tmp_path: Path) -> None:
    processor = tiny.processor(tiny.config(), **options)
    processor.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    assert again.to_dict() == processor.to_dict()
    assert again.processor.image_aspect_ratio == processor.processor.image_aspect_ratio
    inputs, reread = asked(processor, tmp_path), asked(again, tmp_path)
    assert all(torch.equal(inputs[key], reread[key]) for key in inputs)
    assert CamMLProcessor.from_pretrained(tmp_path, prompt_style="chat").prompt_style == "chat"


# ---- kinds of folders ------------------------------------------------------------------------------------------------


def write_saved(folder: Path) -> CamMLForConditionalGeneration:
    """A saved model."""
    model = tiny.model()
    model.save_pretrained(folder)
    tiny.processor(model.config).save_pretrained(folder)
    return model


def write_packed(folder: Path) -> CamMLForConditionalGeneration:
    """A packed model, with LoRA matrices of rank 2 for one weight and places that run on."""
    folder.mkdir(parents=True)
    language, tower = parts(folder, "clip")
    sizes = SIZES | RUN_ON
    torch.manual_seed(7)
    made, _ = assemble(language, tower, **sizes)
    name = "language_model.model.layers.0.mlp.down_proj"
    rows, columns = dict(made.named_parameters())[f"vlm.{name}.weight"].shape
    packed.pack(
        folder / "packed",
        language_model=str(language),
        vision_tower=str(tower),
        sizes=sizes,
        added={
            key.removeprefix("vlm."): tensor + 0.5
            for key, tensor in made.state_dict().items()
            if key.startswith(("vlm.projector.", "context_perceiver."))
        },
        lora={f"{name}.lora_A": torch.ones(2, columns), f"{name}.lora_B": torch.full((rows, 2), 0.25)},
        scale=2.0,
    )
    return packed.load(folder / "packed")[0]


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each kind of model; those of CaMML have a `.pt` of their logits beside them."""
    place = tmp_path_factory.mktemp("houses")
    config, wide = tiny.config, {"perceiver_intermediate_size": 3072}
    tiny.config = lambda *args, **sizes: config(*args, **{**wide, **sizes})  # as the official layout has it
    try:
        models = {"official": write_official(place / "official")}
    finally:
        tiny.config = config
    models |= {"saved": write_saved(place / "saved"), "packed": write_packed(place / "parts")}
    (place / "parts" / "packed").rename(place / "packed")
    for name, model in models.items():
        torch.save(logits(model, asked(CAMML[name](place), place)), place / f"{name}.pt")
    return place


CAMML: dict[str, Callable[[Path], CamMLProcessor]] = {
    "official": lambda place: CamMLProcessor.from_pretrained(place / "official"),
    "saved": lambda place: CamMLProcessor.from_pretrained(place / "saved"),
    "packed": lambda place: packed.load(place / "packed")[1],
}


@pytest.mark.long
@pytest.mark.parametrize("name", CAMML)
@pytest.mark.parametrize("way", ["path", "text", "relative", "link", "odd name"])
def test_a_folder_of_each_kind_is_loaded_wherever_it_lies(
    houses: Path, name: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: Any = houses / name
    if way == "text":
        given = str(given)
    elif way == "relative":
        monkeypatch.chdir(houses)
        given = Path(name)
    elif way == "link":
        (tmp_path / "link").symlink_to(given)
        given = tmp_path / "link"
    elif way == "odd name":
        given = tmp_path / "a model, für alle (1)"
        shutil.copytree(houses / name, given)
    model, processor = load_model(given)
    assert not model.training
    assert torch.equal(logits(model, asked(processor, tmp_path)), torch.load(houses / f"{name}.pt"))


@pytest.mark.parametrize("name", CAMML)
@pytest.mark.parametrize("dtype", [torch.bfloat16, "bfloat16", "float32", "auto", None])
def test_weights_come_in_the_precision_asked_for(houses: Path, name: str, dtype: Any, tmp_path: Path) -> None:
    model, processor = load_model(houses / name, dtype=dtype)
    wanted = torch.bfloat16 if "bfloat16" in str(dtype) else torch.float32
    assert {parameter.dtype for parameter in model.parameters()} == {wanted}
    scores = logits(model, asked(processor, tmp_path))
    expected = torch.load(houses / f"{name}.pt")
    close = 1e-6 if wanted == torch.float32 else 0.1 * float(expected.abs().max())
    assert (scores.float() - expected).abs().max() <= close


@pytest.mark.parametrize("argument", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("kind", [CamMLForConditionalGeneration, AutoModelForImageTextToText])
@pytest.mark.parametrize("name", ["official", "saved"])
def test_both_names_of_the_precision_are_understood(houses: Path, name: str, kind: Any, argument: str) -> None:
    for value in (torch.bfloat16, "bfloat16"):
        model = kind.from_pretrained(houses / name, **{argument: value})
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_auto_classes_read_an_official_folder(houses: Path, tmp_path: Path) -> None:
    processor = AutoProcessor.from_pretrained(houses / "official")
    assert isinstance(processor, CamMLProcessor)
    assert type(CamMLConfig.from_pretrained(houses / "official")) is CamMLConfig
    model = AutoModelForImageTextToText.from_pretrained(houses / "official")
    assert torch.equal(logits(model, asked(processor, tmp_path)), torch.load(houses / "official.pt"))
    for field in OWN:
        assert getattr(CamMLConfig.from_pretrained(houses / "official"), field) == getattr(model.config, field), field


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_packed_model_with_places_that_run_on_merges_to_the_same(houses: Path, tmp_path: Path, dtype: str) -> None:
    assert main(["merge", str(houses / "packed"), str(tmp_path / "whole"), "--dtype", dtype]) == 0
    (whole, reader), (model, processor) = load_model(tmp_path / "whole"), load_model(houses / "packed", dtype=dtype)
    assert whole.config.perceiver_run_on
    assert {parameter.dtype for parameter in whole.parameters()} == {getattr(torch, dtype)}
    assert torch.equal(logits(whole, asked(reader, tmp_path)), logits(model, asked(processor, tmp_path)))


def test_a_language_model_and_its_tokenizer(llm_folder: Path) -> None:
    model, tokenizer = load_model(llm_folder)
    assert (model.config.model_type, tokenizer.decode(tokenizer("red").input_ids)) == ("llama", "red")
    with pytest.raises(OptionError, match="not a CaMML model, so it has no prompt_style"):
        load_model(llm_folder, prompt_style="chat")


def test_a_vision_language_model_and_its_processor(vlm_folder: Path) -> None:
    model, processor = load_model(vlm_folder)
    assert model.config.model_type == "qwen2_5_vl"
    assert processor.image_processor is not None


def test_options_of_a_camml_processor_arrive(houses: Path) -> None:
    for name in CAMML:
        assert load_model(houses / name, prompt_style="bare")[1].prompt_style == "bare"


# ---- wrong folders ---------------------------------------------------------------------------------------------------


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)


def without(pattern: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        for file in list(folder.glob(pattern)):
            file.unlink()

    return remove


def without_folder(name: str) -> Callable[[Path], None]:
    return lambda folder: shutil.rmtree(folder / name)


def replaced(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text)


def of_another(folder: Path) -> None:
    tiny.processor(tiny.config(context_token_id=350)).save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (emptied, "no folder .*give a model folder"),
        (without("config.json"), r"has no config\.json"),
        (without("*.safetensors"), "holds no weights"),
        (without("processor_config.json"), "processor_config.json"),
        (without_folder("vlm_processor"), "model has no vlm_processor, the processor of its .*download the whole"),
        (
            without("vlm_processor/tok*"),
            r"a camml model: no tokenizer in it can be read \(tok.*sentencepiece",
        ),
        (replaced("config.json", "{"), "is not JSON"),
        (replaced("config.json", "[]"), "holds a list"),
        (replaced("config.json", '{"model_type": "crystal_ball"}'), "crystal_ball"),
        (replaced("model.safetensors", "torn"), "cannot be loaded|safetensors"),
        (replaced("processor_config.json", "{}"), "no processor of this version"),
        (replaced("processor_config.json", "{"), "processor_config.json|cannot be loaded"),
        (of_another, "context_token_id is 350, the model's is 320"),
    ],
)
def test_a_folder_that_is_wrong_says_what_is(
    houses: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(houses / "saved", folder)
    damage(folder)
    with pytest.raises(CaMMLError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_a_language_model_without_a_tokenizer_is_named(llm_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(llm_folder, tmp_path / "model")
    without("tok*")(tmp_path / "model")
    with pytest.raises(ModelFolderError, match="as a language model: no tokenizer in it can be read"):
        load_model(tmp_path / "model")


def test_an_adapter_that_does_not_say_what_it_was_trained_on_is_named(tmp_path: Path) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(
        ModelFolderError, match=r"is an adapter \(adapter_config\.json\) without camml_base\.json, .*PEFT"
    ):
        load_model(tmp_path)


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ModelFolderError, match=r"no config\.json"):
        load_model(tmp_path)
    with pytest.raises(CaMMLError, match="no-such-model"):
        load_model("no-such-model")


def test_a_precision_that_is_none_is_named(houses: Path) -> None:
    for wrong in ("float3", "int8", "nn"):
        with pytest.raises(OptionError, match=f"no dtype '{wrong}'; there are: float32, bfloat16, float16"):
            load_model(houses / "saved", dtype=wrong)


@pytest.mark.parametrize(
    "sizes",
    [{"context_token_id": 330}, {"perceiver_queries": 4}, {"image_token_id": 331}, {"image_size": 14}],
)
def test_a_processor_of_another_model_is_an_error(sizes: dict[str, int]) -> None:
    model = CamMLForConditionalGeneration(tiny.config())
    check_fits(model, tiny.processor())
    with pytest.raises(OptionError, match="the processor is of another model"):
        check_fits(model, tiny.processor(tiny.config(**sizes)))


@pytest.mark.parametrize("family", ["parts", "llava"])
@pytest.mark.parametrize("auto", [AutoModelForImageTextToText, AutoProcessor])
def test_either_is_checked_against_the_other_when_it_is_loaded(family: str, auto: Any, tmp_path: Path) -> None:
    model, processor = tiny.added(family) if family == "llava" else (tiny.model(), tiny.processor())
    for part in (model, processor):
        part.save_pretrained(tmp_path)
    auto.from_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"context_token_id": 7}))
    with pytest.raises(OptionError, match=r"another model: its context_token_id is \d+, the model's is 7"):
        auto.from_pretrained(tmp_path)


# ---- what is shipped -------------------------------------------------------------------------------------------------

MINI = Path(__file__).parents[2] / "models" / "camml-mini"


@pytest.mark.long
@pytest.mark.weights
def test_the_shipped_model_through_load_model_merge_and_half_precision(tmp_path: Path) -> None:
    samples = [Sample("a", "This is the flag of Peru.", Image.new("RGB", (60, 40), "red"))]
    rows = (["Which country is it?"], [Image.new("RGB", (60, 40), "white")], [samples])

    def written(model: Any, processor: Any) -> list[int]:
        inputs = processor.prepare(*rows)
        told = model.generate(**inputs, max_new_tokens=12, min_new_tokens=12, do_sample=False)
        return list(told[0, inputs["input_ids"].shape[1] :].tolist())

    model, processor = load_model(MINI)
    assert isinstance(processor, CamMLProcessor)
    assert model.config.perceiver_run_on
    words = written(model, processor)
    assert len(words) == 12
    assert main(["merge", "camml-mini", str(tmp_path / "whole")]) == 0
    assert written(*load_model(tmp_path / "whole")) == words
    auto = (
        AutoModelForImageTextToText.from_pretrained(tmp_path / "whole"),
        AutoProcessor.from_pretrained(tmp_path / "whole"),
    )
    assert written(*auto) == words
    half, reader = load_model(MINI, dtype="bfloat16")
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert written(half, reader)[:2] == words[:2]
    assert json.loads((tmp_path / "whole" / "config.json").read_text())["perceiver_run_on"] is True
