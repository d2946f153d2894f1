"""Whole runs on tiny models: what they learn, what they leave, and that they go on as if nothing had happened."""

import json
import re
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from camml.answering import Decoding
from camml.answering.perceiver import load
from camml.errors import OptionError, SampleError, StoreError
from camml.model import CamMLForConditionalGeneration, CamMLProcessor
from camml.training import checkpoints, recipes
from camml.training.train import prepare, train
from camml.types import Neighbor, Query
from tests import fork_server, tiny
from tests.fork_server import ForkServer
from tests.training import facts, runs


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums in one order, so that two runs can be compared to the last bit."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def output(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("run") / "out"
    more = {"save_strategy": "steps", "save_steps": 3, "save_total_limit": 2, "report_to": "tensorboard"}
    return train(recipes.parse(runs.flags(bench, output_dir=out, **more)))


@pytest.mark.long
class TestARun:
    @pytest.mark.long
    def test_leaves_an_ordinary_model_folder(self, output: Path, bench: Path) -> None:
        model = CamMLForConditionalGeneration.from_pretrained(output)
        processor = CamMLProcessor.from_pretrained(output)
        inputs = processor.prepare(["what"], [bench / "picture-0.png"])
        assert model(**inputs).logits.isfinite().all()
        assert processor.prompt_style == "chat"

    def test_leaves_what_tells_its_story(self, output: Path) -> None:
        record = json.loads((output / "run.json").read_text())
        assert record["settings"]["learning_rate"] == 1e-3
        assert record["result"]["steps"] == 12
        assert record["result"]["last_loss"] < record["result"]["first_loss"]
        assert {"torch", "transformers"} <= record["versions"].keys()
        assert len(record["data"]) == 64
        assert Image.open(output / "loss.png").size[0] > 400
        card = (output / "README.md").read_text()
        assert card.startswith("---\n")
        assert "| vision_tower | 9,376 | 0 |" in card
        assert "pipeline_tag: image-text-to-text" in card
        assert "Trained: " in card
        assert list(output.glob("runs/*/events.out.tfevents.*"))

    def test_keeps_the_newest_checkpoints_and_no_unfinished_one(self, output: Path) -> None:
        assert sorted(path.name for path in output.glob("checkpoint-*")) == ["checkpoint-12", "checkpoint-9"]
        assert not (output / ".unfinished").exists()

    def test_logs_rates(self, output: Path) -> None:
        history = json.loads((output / "checkpoint-12" / "trainer_state.json").read_text())["log_history"]
        first = next(entry for entry in history if "loss" in entry)
        assert first["tokens_per_second"] > 0
        assert first["samples_per_second"] > 0
        assert 0 <= first["waiting_for_data"] <= 1

    def test_refuses_to_go_on_with_other_data(self, output: Path, bench: Path) -> None:
        with pytest.raises(OptionError, match="another seed"):
            train(recipes.parse(runs.flags(bench, output_dir=output, seed=7)))
        with pytest.raises(OptionError, match="holds checkpoints"):
            train(recipes.parse(runs.flags(bench, output_dir=output, resume_from_checkpoint="False")))
        with pytest.raises(OptionError, match="no finished checkpoint there; there are: checkpoint-9"):
            train(recipes.parse(runs.flags(bench, output_dir=output, resume_from_checkpoint=output / "checkpoint-1")))

    def test_the_tower_is_as_it_was(self, output: Path, bench: Path) -> None:
        from transformers import AutoModel

        before = AutoModel.from_pretrained(bench / "tower").state_dict()
        after = CamMLForConditionalGeneration.from_pretrained(output).vlm.vision_tower.state_dict()
        assert all(torch.equal(after[name.removeprefix("vision_model.")], value) for name, value in before.items())


@pytest.mark.long
def test_the_perceiver_alone_learns_two_samples_by_heart(tmp_path: Path) -> None:
    """One question, two contexts, a frozen language model with random weights: only the context tells them apart."""
    start = tmp_path / "start"
    settings = tiny.config(perceiver_dropout=0.0, perceiver_queries=8, initializer_range=0.1)
    model = tiny.model(settings)
    with torch.no_grad():  # let the frozen head be able to say anything with certainty
        model.vlm.language_model.lm_head.weight.mul_(12.0)
    model.save_pretrained(start)
    tiny.processor(settings).save_pretrained(start)
    known = [("which is it", answer, sample) for answer, (_, _, sample) in zip("xw", facts.facts(2, 0), strict=True)]
    data, table = facts.write(tmp_path, known)
    more = {"tune": "perceiver", "max_steps": 220, "learning_rate": 2e-2, "lr_scheduler_type": "constant"}
    paths = {"model_name_or_path": start, "vision_tower": None, "data_path": data, "neighbors": table}
    (tmp_path / "language").mkdir()
    output = train(recipes.parse(runs.flags(tmp_path, **paths, icl_num=1, **more)))
    assert json.loads((output / "run.json").read_text())["result"]["last_loss"] < 0.01
    before = CamMLForConditionalGeneration.from_pretrained(start).state_dict()
    after = CamMLForConditionalGeneration.from_pretrained(output).state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"context_perceiver"}


@pytest.mark.long
def test_facts_it_never_saw_are_answered_from_the_context_and_only_from_it(tmp_path: Path) -> None:
    data, table = facts.write(tmp_path, facts.facts(4096, seed=1))
    start = facts.model(tmp_path, seed=2)  # about half of all seeds learn to look in so few steps
    paths = {"model_name_or_path": start, "vision_tower": None, "data_path": data, "neighbors": table}
    (tmp_path / "language").mkdir()
    more = {"per_device_train_batch_size": 32, "max_steps": 260, "learning_rate": 2e-3, "lr_scheduler_type": "cosine",
            "warmup_ratio": 0.05, "icl_num": 1, "lazy_preprocess": True}  # fmt: skip
    output = train(recipes.parse(runs.flags(tmp_path, **paths, **more)))
    held_out = facts.facts(60, seed=2)

    def right(contexts: list) -> int:
        predictions = load(output).answer([Query(question) for question, _, _ in held_out], contexts, Decoding(3))
        return sum(p.text == answer for p, (_, answer, _) in zip(predictions, held_out, strict=True))

    own = [(Neighbor(sample, 1.0),) for _, _, sample in held_out]
    assert right(own) >= 57
    assert right([() for _ in held_out]) <= 12
    assert right(own[1:] + own[:1]) <= 12


@pytest.mark.long
def test_a_killed_run_goes_on_with_the_same_losses(bench: Path, tmp_path: Path, programs: ForkServer) -> None:
    more = {"save_strategy": "steps", "save_steps": 4, "num_train_epochs": 3, "perceiver_dropout": 0.1}
    whole = train(recipes.parse(runs.flags(bench, output_dir=tmp_path / "whole", **more)))
    for attempt in range(3):  # on a busy machine a run may be over before it is seen
        killed = tmp_path / f"killed-{attempt}"
        arguments = runs.flags(bench, output_dir=killed, **more, dataloader_num_workers=1)
        process = programs.start(*runs.command(arguments)[1:], cwd=runs.ROOT)
        deadline = time.monotonic() + 240
        while not (killed / "checkpoint-8").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        fork_server.kill(process)
        assert (killed / "checkpoint-8").exists()
        if not (killed / "checkpoint-16").exists():
            break
    assert not (killed / "checkpoint-16").exists(), "it was over before it could be killed"
    half = killed / ".unfinished" / "checkpoint-99"  # what a kill in the middle of a save leaves
    half.mkdir(parents=True)
    (half / "trainer_state.json").write_text("{}")
    train(recipes.parse(arguments))
    assert runs.losses(killed) == runs.losses(whole)
    assert not half.exists()
    first, other = (CamMLForConditionalGeneration.from_pretrained(folder).state_dict() for folder in (whole, killed))
    assert all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.long
def test_a_run_goes_on_from_an_older_checkpoint_and_leaves_the_others_aside(bench: Path, tmp_path: Path) -> None:
    out, more = tmp_path / "out", {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 2}
    train(recipes.parse(runs.flags(bench, output_dir=out, **more | {"save_total_limit": None}, max_steps=6)))
    older = ["--resume_from_checkpoint", str(out / "checkpoint-2")]
    train(recipes.parse([*runs.flags(bench, output_dir=out, **more, max_steps=4, learning_rate=1e-4), *older]))
    names = {path.name for path in out.glob("*checkpoint-*")}
    assert names == {"checkpoint-2", "checkpoint-4", "abandoned-checkpoint-4", "abandoned-checkpoint-6"}
    assert checkpoints.to_resume(out, None) == out / "checkpoint-4"


class TestBadData:
    def entries(self, bench: Path) -> list[dict]:
        return json.loads((bench / "train.json").read_text())

    @pytest.mark.long
    def test_stops_before_training_or_skips_with_a_report(self, bench: Path, tmp_path: Path) -> None:
        entries = self.entries(bench)
        entries[3]["image"] = "gone.png"
        entries[4]["conversations"][1]["value"] = " "
        (tmp_path / "bad.json").write_text(json.dumps(entries))
        paths = {"data_path": tmp_path / "bad.json", "image_folder": bench, "output_dir": tmp_path / "out"}
        flags = runs.flags(bench, **paths, icl_num=0)
        with pytest.raises(SampleError, match=r"2 samples cannot be trained on.*gone\.png"):
            train(recipes.parse(flags))
        assert not (tmp_path / "out").exists()
        output = train(recipes.parse([*flags, "--on_bad_sample", "skip", "--max_steps", "1"]))
        skipped = json.loads((output / "run.json").read_text())["skipped"]
        assert [re.search(r"id '([^']+)'", line)[1] for line in skipped] == ["row-3", "row-4"]

    def test_neighbors_of_another_dataset_or_store_or_too_few(self, bench: Path, tmp_path: Path) -> None:
        (tmp_path / "other.json").write_text(json.dumps(self.entries(bench)[:5]))
        for more, message in (
            ({"data_path": tmp_path / "other.json", "image_folder": bench}, "another dataset"),
            ({"icl_num": 9}, "at most 3 a sample"),
        ):
            with pytest.raises(StoreError, match=message):
                prepare(recipes.parse(runs.flags(bench, output_dir=tmp_path / "out", **more)))

    def test_a_row_too_long_is_found_ahead_unless_told_not_to_look(self, bench: Path, tmp_path: Path) -> None:
        flags = runs.flags(bench, output_dir=tmp_path / "out", model_max_length=80)
        with pytest.raises(SampleError, match=r"--model_max_length.*and \d+ more.*--on_bad_sample skip"):
            prepare(recipes.parse(flags))
        left = prepare(recipes.parse([*flags, "--on_bad_sample", "skip"])).train_dataset
        assert 0 < len(left) < 12

    def test_an_image_of_the_store_that_is_gone_is_named(self, tmp_path: Path) -> None:
        flags = runs.flags(tmp_path, output_dir=tmp_path / "out", icl_num=3)
        table = tmp_path / "neighbors"
        data = json.loads((tmp_path / "train.json").read_text())
        lonely = [entry for entry in data if entry["id"] != "row-1"]
        (tmp_path / "train.json").write_text(json.dumps(lonely))
        (tmp_path / "picture-1.png").unlink()
        manifest = json.loads((table / "manifest.json").read_text())
        from camml.data import origins

        manifest["origin"]["dataset_hash"] = origins.file_hash(tmp_path / "train.json")
        (table / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(SampleError, match=r"'row-1'.*gone.*picture-1\.png"):
            prepare(recipes.parse(flags))
