"""What a model's folder says about itself, and the way to the model hub, of which a folder takes the place."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from transformers import AutoModelForImageTextToText

from camml import weights
from camml.model import CamMLConfig, CamMLForConditionalGeneration, card
from tests import families, tiny
from tests.fork_server import ForkServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which an upload to OWNER/NAME lands."""
    place = tmp_path / "hub"

    def upload(_: HfApi, *, repo_id: str, folder_path: str, **options: Any) -> str:
        shutil.copytree(folder_path, place / repo_id, dirs_exist_ok=True)
        return str(options["commit_message"])

    monkeypatch.setattr(HfApi, "create_repo", lambda _, name, **__: SimpleNamespace(repo_id=f"owner/{name}"))
    monkeypatch.setattr(HfApi, "file_exists", lambda _, repo, name, **__: (place / repo / name).is_file())
    monkeypatch.setattr(HfApi, "hf_hub_download", lambda _, repo, name, **__: str(place / repo / name))
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    return place


def read(folder: Path) -> Any:
    """The card of a folder as the hub reads it."""
    return ModelCard.load(folder / card.CARD)


PROGRAM = """
import camml, torch
from transformers import AutoModelForImageTextToText, AutoProcessor

for name in ("parts", "llava"):
    inputs, logits = torch.load(f"{name}.pt")
    model = AutoModelForImageTextToText.from_pretrained(f"hub/owner/{name}").eval()
    processor = AutoProcessor.from_pretrained(f"hub/owner/{name}")
    print(type(model).__name__, type(processor).__name__)
    with torch.no_grad():
        print(torch.equal(model(**inputs).logits, logits))
"""


@pytest.mark.long
def test_what_was_pushed_loads_through_the_auto_classes_in_another_process(
    hub: Path, tmp_path: Path, programs: ForkServer
) -> None:
    samples = tiny.samples(tmp_path)
    made = {"parts": (tiny.model(), tiny.processor()), "llava": tiny.added("llava")}
    for name, (model, processor) in made.items():
        saved = [model, processor] if name == "parts" else [processor, model]  # either comes first
        for part in saved:
            part.push_to_hub(name)
        inputs = processor.prepare(["what is it"], [samples[0].image], [samples])
        with torch.no_grad():
            torch.save((dict(inputs), model(**inputs).logits), tmp_path / f"{name}.pt")
        assert "| context_perceiver | " in read(hub / "owner" / name).text, "the model's card, in either order"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = programs.run("-c", PROGRAM, timeout=200, cwd=tmp_path, env=environment)
    assert done.stdout.splitlines() == ["CamMLForConditionalGeneration CamMLProcessor", "True"] * 2, done.stderr


def test_a_card_says_what_the_model_is(tmp_path: Path) -> None:
    model, processor = tiny.added("llava")
    model.config.base_models = ["owner/base", "a folder"]
    model.add_model_tags(["medicine"])
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    about = read(tmp_path)
    assert about.data.library_name == "transformers"
    assert about.data.pipeline_tag == "image-text-to-text"
    assert about.data.base_model == ["owner/base"]
    assert about.data.tags == ["camml", "multimodal", "retrieval", "medicine"]
    assert about.data.license is None
    perceiver = sum(parameter.numel() for parameter in model.context_perceiver.parameters())
    whole = sum(int(row.split("|")[2].replace(",", "")) for row in about.text.splitlines() if row.count("|") == 3
                and row.split("|")[2].strip()[0].isdigit())  # fmt: skip
    assert f"| context_perceiver | {perceiver:,} |" in about.text
    assert whole == sum(parameter.numel() for parameter in model.parameters())
    for words in ("`owner/base` and `a folder`, a `llava` model", "6 context tokens of width 32", "camml.load_model(",
                  "AutoModelForImageTextToText", "AutoProcessor", "## Licence\n\nTo be filled in by"):  # fmt: skip
        assert words in about.text, words
    assert "\n# license: for the author to fill in\n---\n" in (tmp_path / card.CARD).read_text()


@pytest.mark.long
def test_the_code_on_a_card_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = tiny.model(), tiny.processor()
    for part in (model, processor):
        part.save_pretrained(tmp_path / "THIS_FOLDER")
    tiny.image(tmp_path, "photo", (1, 2, 3)).rename(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    programs = read(tmp_path / "THIS_FOLDER").text.split("```python\n")[1:]
    assert len(programs) == 2
    for program in programs:
        exec(program.partition("```")[0], {})


def test_a_card_of_somebody_is_never_overwritten(hub: Path, tmp_path: Path) -> None:
    model, processor = tiny.model(), tiny.processor()
    for text in ("My own words.\n", ""):
        (tmp_path / card.CARD).write_text(text)
        model.save_pretrained(tmp_path)
        processor.save_pretrained(tmp_path)
        assert (tmp_path / card.CARD).read_text() == text
    (hub / "owner" / "tiny").mkdir(parents=True)
    (hub / "owner" / "tiny" / card.CARD).write_text("What the hub has.\n")
    model.push_to_hub("tiny")
    assert (hub / "owner" / "tiny" / card.CARD).read_text() == "What the hub has.\n"


def test_a_card_is_brought_up_to_date_until_somebody_edits_it(tmp_path: Path) -> None:
    tiny.model().save_pretrained(tmp_path)
    before = (tmp_path / card.CARD).read_text()
    other = tiny.model(tiny.config(perceiver_queries=4))
    other.save_pretrained(tmp_path)
    assert "8 context tokens" in (tmp_path / card.CARD).read_text()
    (tmp_path / card.CARD).write_text(edited := before.replace("CaMML model", "My model"))
    other.save_pretrained(tmp_path)
    assert (tmp_path / card.CARD).read_text() == edited


def test_saving_can_push_at_once(hub: Path, tmp_path: Path) -> None:
    tiny.model().save_pretrained(tmp_path / "saved", push_to_hub=True, repo_id="other", commit_message="First")
    tiny.processor().save_pretrained(tmp_path / "saved", push_to_hub=True)
    assert (hub / "owner" / "other" / "model.safetensors").is_file()
    assert (hub / "owner" / "saved" / "processor_config.json").is_file()
    assert tiny.model().push_to_hub("other", tags="new", commit_message="Second") == "Second"
    assert read(hub / "owner" / "other").data.tags[-1] == "new"


@pytest.mark.long
def test_the_base_is_named_without_paths_and_stays_named(llm_folder: Path, tmp_path: Path) -> None:
    cached = tmp_path / "models--owner--name" / "snapshots" / "0123"
    cached.mkdir(parents=True)
    assert card.base_name(str(cached)) == "owner/name"
    assert card.base_name(str(llm_folder)) == "llm"
    assert card.base_name("owner/name") == "owner/name"
    assert card.base_name(str(weights.place("minilm"))) == "sentence-transformers/all-MiniLM-L6-v2"
    vlm, inner = tmp_path / "my-llava", tmp_path / "made"
    families.save("llava", vlm)
    loaded = AutoModelForImageTextToText.from_pretrained(vlm)
    made = CamMLForConditionalGeneration(CamMLConfig(vlm_config=loaded.config, context_token_id=400), loaded)
    made.save_pretrained(inner)
    assert "Base model: `my-llava`, a `llava` model" in read(inner).text
    assert CamMLForConditionalGeneration.from_pretrained(inner).config.base_models == ["my-llava"]
    assert str(tmp_path) not in read(inner).content
