"""Runs that start from a vision-language model: its own processor and chat template, perceivers added."""

import json
import re
from pathlib import Path

import pytest
import torch
from peft import PeftConfig
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor, BertConfig, BertModel

from camml.cli import main
from camml.errors import OptionError, SampleError
from camml.model import CamMLForConditionalGeneration, lora
from camml.model.loading import load_model
from camml.training import building, recipes, tuning
from camml.training.building import BIDIRECTIONAL_MODELS
from camml.training.train import prepare, train
from camml.types import Sample
from tests import families, family_table
from tests.training import runs

LANGUAGE = re.compile(r"vlm\.model\.(language|text)_model\.layers\.")
"""How the names of a language model's layers begin, in all of these families."""

SLOW = {"llava_onevision", "qwen2_vl", "qwen3_vl", "idefics3", "mistral3", "aya_vision", "deepseek_vl"}
"""Families whose runs are outside the everyday suite: they have a sibling in it, and take some two seconds each."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums in one order, so that two runs can be compared to the last bit."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of models of several families."""
    folder = tmp_path_factory.mktemp("families")
    for family in families.FAMILIES:
        families.save(family, folder / family)
    return folder


def flags(bench: Path, start: Path, output: Path, **more: object) -> list[str]:
    fixed = {"model_name_or_path": start, "vision_tower": None, "output_dir": output, "max_steps": 4}
    return runs.flags(bench, **fixed | {"save_strategy": "steps", "save_steps": 2, "icl_num": 2} | more)


def refused(arguments: list[str], request: pytest.FixtureRequest) -> None:
    """A run that cannot be says why before any step, and so does the table of families."""
    with pytest.raises(OptionError, match="reads a row in both directions, and would see the answers it is to learn"):
        prepare(recipes.parse(arguments))
    request.node.user_properties.append(("outcome", "refused"))


@pytest.mark.column("e")
@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_step_lowers_the_loss_and_reaches_the_perceivers_and_every_matrix(
    family: str, starts: Path, bench: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    arguments = flags(bench, starts / family, tmp_path / "out", tune="lora", lora_r=2, lora_dropout=0.0)
    if family in BIDIRECTIONAL_MODELS:
        refused(arguments, request)
        return
    trainer = prepare(recipes.parse(arguments))
    model = trainer.model.train()
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(4)])
    with torch.no_grad():  # a second matrix of zeros hides the first one's gradient
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.02)
    before = model(**batch).loss
    before.backward()
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name or "context_perceiver." in name for name in trained)
    still = {name for name, part in trained.items() if part.grad is None or not part.grad.abs().max() > 0}
    assert not {name for name in still if not name.endswith("key.bias")}  # which softmax takes out again
    matrices = {name.partition(".lora_")[0].removeprefix("base_model.model.") for name in trained if "lora_A" in name}
    bare = tuning.bare(model)
    linear = {
        name.removesuffix(".base_layer")
        for name, part in bare.named_modules()
        if isinstance(part, torch.nn.Linear) and LANGUAGE.match(name) and "lora_" not in name
    }
    assert matrices == linear != set(), "no linear layer of the language model is left out, and no other is taken"
    with torch.no_grad():
        length = torch.stack([part.grad.norm() for part in trained.values() if part.grad is not None]).norm()
        for part in trained.values():
            if part.grad is not None:
                part -= 1e-3 * part.grad / length
        assert model(**batch).loss < before


@pytest.mark.long
@pytest.mark.column("f")
@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in families.FAMILIES]
)
def test_a_run_resumes_merges_and_loads(
    family: str,
    starts: Path,
    bench: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    more = {"tune": "lora", "lora_r": 4, "learning_rate": 1e-2, "gradient_checkpointing": True, "max_steps": 2}
    arguments = flags(bench, starts / family, tmp_path / "out", **more, save_steps=1)
    if family in BIDIRECTIONAL_MODELS:
        refused(arguments, request)
        return
    monkeypatch.setattr("camml.training.reports.plot", lambda *_: None)  # which takes as long as the run
    output = train(recipes.parse(arguments))
    before = runs.losses(output)
    whole, processor = load_model(output)
    inputs = processor.prepare(["which colour", "what"], [bench / "picture-0.png", bench / "picture-1.png"])
    with torch.no_grad():
        logits = whole(**inputs).logits
    (output / "checkpoint-2").rename(tmp_path / "away")
    train(recipes.parse(arguments))
    assert runs.losses(output) == pytest.approx(before, rel=1e-5)
    again = load_file(output / "adapter_model.safetensors")
    first = load_file(tmp_path / "away" / "adapter_model.safetensors")
    assert all(torch.equal(first[name], tensor) for name, tensor in again.items())
    assert main(["merge", str(output), str(tmp_path / "merged"), "--json"]) == 0
    merged = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged").eval()
    reread = AutoProcessor.from_pretrained(tmp_path / "merged").prepare(
        ["which colour", "what"], [bench / "picture-0.png", bench / "picture-1.png"]
    )
    with torch.no_grad():
        torch.testing.assert_close(merged(**reread).logits, logits, rtol=1e-4, atol=1e-4)


def test_the_table_of_families_is_what_the_tests_gave(request: pytest.FixtureRequest) -> None:
    """Cells whose tests ran in this session; the others are compared when these run."""
    committed = family_table.committed_results()
    assert list(committed) == family_table.cells()
    given = request.config.stash[family_table.RESULTS]
    assert {cell: committed[cell] for cell in given} == given
    assert family_table.table(committed) == family_table.parts()[1], "the rest of a row is made as well"
    assert set(committed.values()) <= {"yes", "refused"}


def test_a_family_outside_the_table_is_trained_with_a_notice(
    starts: Path, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert set(building.TESTED_MODELS) == {family for family, _ in family_table.committed_results()}
    arguments = recipes.parse(flags(bench, starts / "llava", tmp_path / "out")).model
    building.build(arguments)
    assert not caplog.messages
    monkeypatch.setattr(building, "TESTED_MODELS", ())
    building.build(arguments)
    assert "a 'llava' model is none of those that CaMML was checked with (docs/models.md)" in caplog.text


@pytest.mark.long
@pytest.mark.parametrize("kind", ["llava", "qwen2_5_vl"])
@pytest.mark.parametrize("tune", ["full", "perceiver"])
def test_what_is_named_is_trained_and_the_rest_stays(
    kind: str, tune: str, starts: Path, bench: Path, tmp_path: Path
) -> None:
    settings = recipes.parse(flags(bench, starts / kind, tmp_path / "out", tune=tune, max_steps=2))
    torch.manual_seed(42)  # that of the run
    before, _ = building.build(settings.model)
    output = train(settings)
    after = CamMLForConditionalGeneration.from_pretrained(output).state_dict()
    changed = {name for name, value in before.state_dict().items() if not torch.equal(value, after[name])}
    language = {f"{n}.{m}" for n, part in before.named_modules() if part is before.language_part
                for m, _ in part.named_parameters()}  # fmt: skip
    own = {name for name in after if name.startswith("context_perceiver.")}
    assert changed & own
    assert changed <= own | language | {"vlm.lm_head.weight"} if tune == "full" else changed <= own
    assert bool(changed & language) == (tune == "full")
    card = (output / "README.md").read_text()
    assert f"Started from: `{starts / kind}`.\n" in card
    assert "| vision_tower | " in card
    assert "| language_model | " in card


@pytest.mark.long
def test_a_run_loads_from_any_folder_and_opens_with_peft(
    starts: Path, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was started with a relative path, and says where that leads."""
    monkeypatch.chdir(starts)
    train(recipes.parse(flags(bench, Path("llava"), tmp_path / "out", tune="lora", lora_r=2, max_steps=2)))
    monkeypatch.chdir(tmp_path)
    for run in (Path("out"), Path("out") / "checkpoint-2"):
        model, processor = load_model(run)
        assert model.config.vlm_config.model_type == "llava"
        assert not processor.parts
        assert PeftConfig.from_pretrained(str(run)).base_model_name_or_path == str((starts / "llava").resolve())
        assert json.loads((run / lora.BASE).read_text())["base"] == {"vlm": str((starts / "llava").resolve())}


def test_a_dry_run_shows_rows_and_parts(
    starts: Path, bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = flags(bench, starts / "qwen2_5_vl", tmp_path / "out", dry_run=True, tune="qlora")
    assert main(["train", *arguments]) == 0
    text = capsys.readouterr().out
    assert "<context x 6>" in text
    assert "<image x " in text
    assert "⟦colour 0<|im_end|>⟧" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_qlora_quantises_the_language_model_alone(starts: Path, bench: Path, tmp_path: Path) -> None:
    quantised = pytest.importorskip("bitsandbytes").nn.Linear4bit
    arguments = flags(bench, starts / "llava", tmp_path / "out", tune="qlora", lora_r=2, max_steps=2)
    model, _ = building.build(recipes.parse(arguments).model)
    inside = {name for name, part in model.named_modules() if isinstance(part, quantised)}
    assert inside == set(tuning.lora_targets(model))
    output = train(recipes.parse(arguments))
    assert main(["merge", str(output), str(tmp_path / "merged")]) == 0
    assert load_model(tmp_path / "merged")[0].dtype == torch.float32


def test_the_end_of_a_row_is_cut_and_an_image_never(starts: Path, bench: Path, tmp_path: Path) -> None:
    whole = prepare(recipes.parse(flags(bench, starts / "qwen2_5_vl", tmp_path / "out"))).train_dataset
    row = next(row for row, talk in enumerate(whole.conversations) if talk.image and len(talk.turns) > 1)
    example = whole[row]
    length = len(example.input_ids) - 3
    whole.max_length = length
    short = whole[row]
    assert short.input_ids == example.input_ids[:length]
    assert short.labels == example.labels[:length]
    assert short.row["input_ids"].shape == short.row["attention_mask"].shape == (1, length)
    assert torch.equal(short.row["pixel_values"], example.row["pixel_values"])
    whole.max_length = next(n for n, label in enumerate(example.labels) if label >= 0)
    with pytest.raises(SampleError, match=r"--model_max_length"):
        whole[row]


def test_an_image_that_cannot_be_used_is_named_or_left_out(starts: Path, tmp_path: Path) -> None:
    arguments = flags(tmp_path / "bench", starts / "llava", tmp_path / "out", icl_num=0)
    (tmp_path / "bench" / "picture-4.png").write_text("no image")
    with pytest.raises(SampleError, match=r"'row-4'.*picture-4\.png"):
        prepare(recipes.parse(arguments))
    lazy = prepare(recipes.parse([*arguments, "--on_bad_sample", "skip", "--lazy_preprocess", "True"]))
    assert lazy.train_dataset[4].id == "row-5"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"vision_tower": "TOWER"}, "sees already: leave --vision_tower out"),
        ({"image_pooling": 2}, "leave --image_pooling out"),
        ({"mm_projector_type": "mlp2x_gelu"}, "leave --mm_projector_type out"),
        ({"tune": "projector"}, "--tune perceiver trains what CaMML adds"),
        ({"model_name_or_path": "LANGUAGE", "vision_tower": "VLM"}, "holds a 'llava' model, which has a tower"),
        ({"model_name_or_path": "TOWER", "vision_tower": "TOWER"}, "which gives no text"),
        ({"feature_cache": "cache"}, "which a 'llava' model has not; leave it out"),
        ({"perceiver_init": "copy"}, "a copying start needs perceivers"),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(
    more: dict, message: str, starts: Path, bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"TOWER": bench / "tower", "LANGUAGE": bench / "language", "VLM": starts / "llava"}
    chosen = {name: places.get(value, value) for name, value in more.items()}
    arguments = flags(bench, starts / "llava", tmp_path / "out")
    arguments += [piece for name, value in chosen.items() for piece in (f"--{name}", str(value))]
    assert main(["train", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error.splitlines()[-1]


def test_perceivers_start_from_bert(starts: Path, bench: Path, tmp_path: Path) -> None:
    sizes = {"hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 2}
    bert = BertModel(BertConfig(**sizes, vocab_size=40))
    bert.save_pretrained(tmp_path / "bert")
    chosen = flags(bench, starts / "llava", tmp_path / "out", pretrain_perceivers=tmp_path / "bert")
    model, _ = building.build(recipes.parse(chosen).model)
    for perceiver in ("vision", "language", "context"):
        ours = model.get_submodule(f"context_perceiver.{perceiver}_perceiver.layers.1.expand").weight
        assert torch.equal(ours, bert.encoder.layer[1].intermediate.dense.weight)


def test_perceivers_start_with_words_of_the_nearest_sample(starts: Path, bench: Path, tmp_path: Path) -> None:
    wide = {"perceiver_hidden_size": 256, "perceiver_heads": 4, "perceiver_positions": True, "perceiver_init": "copy"}
    model, processor = building.build(recipes.parse(flags(bench, starts / "llava", tmp_path / "out", **wide)).model)
    sample = Sample("a", "the capital of France is Paris")
    with torch.no_grad():
        inputs = processor.sample_inputs([[sample]])
        context = model.eval().embed_context(*(inputs[f"sample_{name}"] for name in ("input_ids", "attention_mask")))
        words = model.get_input_embeddings()(inputs["sample_input_ids"][0, 0, :6])
    likeness = torch.nn.functional.cosine_similarity(context[0], words)
    assert (likeness[3:] > 0.9).all(), likeness
